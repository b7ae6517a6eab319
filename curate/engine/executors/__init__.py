"""How stage functions are run: on threads of this machine, or as tasks of Ray."""
