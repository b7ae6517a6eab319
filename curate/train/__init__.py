"""From a build to a trained model: TRL trains, with the recipe of a published model.

torch and TRL load when a training is planned or started.
"""

from curate.train.trainer import train
from curate.train.training_plan import TrainingPlan, plan

__all__ = ["TrainingPlan", "plan", "train"]
