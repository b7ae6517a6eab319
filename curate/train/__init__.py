"""From a build to a trained model: TRL trains, this room hands over, with the recipe of the paper it names.

Nothing here loads torch or TRL before something is planned or trained.
"""

from curate.train.planned import Plan, plan
from curate.train.run import train

__all__ = ["Plan", "plan", "train"]
