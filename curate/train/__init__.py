"""From a build to a trained model: TRL trains, this room hands over, with the recipe of the paper it names.

Nothing here loads torch or TRL before something is planned or trained.
"""

from curate.train.trainer import train
from curate.train.training_plan import Plan, plan

__all__ = ["Plan", "plan", "train"]
