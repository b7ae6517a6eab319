"""What a build comes to beyond its fates: the cost of steps, refusals of harm, lengths; all from its folder."""
