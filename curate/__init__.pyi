# The public names of `curate`, each with the module that it is in. They load when they are first used.

from .classify.train_classifier import train_classifier as train_classifier
from .errors import BuildError as BuildError, CallError as CallError, CurateError as CurateError
from .evalsets.evals import evals as evals
from .evalsets.items import EvalSet as EvalSet
from .export.export import Export as Export
from .io.formats.columns import columns as columns
from .io.formats.dialogues import (
    alpaca as alpaca,
    messages as messages,
    prompt_completion as prompt_completion,
    question_answer as question_answer,
    sharegpt as sharegpt,
)
from .io.formats.oasst import oasst as oasst, oasst_messages as oasst_messages
from .io.formats.preference import (
    helpsteer3 as helpsteer3,
    hh as hh,
    openai_pairs as openai_pairs,
    preference as preference,
)
from .io.formats.ranked import nectar as nectar, stepwise as stepwise
from .io.formats.rated import rated as rated, scored as scored, ultrafeedback as ultrafeedback
from .io.formats.texts import alternating as alternating
from .io.formats.unpaired import prompts as prompts, unpaired as unpaired
from .io.hub.hub import hub as hub
from .io.inputs import files as files
from .io.tables import dataset as dataset, frame as frame
from .io.joined import joined as joined
from .io.split_long import split_long as split_long
from .mix.published import Published as Published
from .mix.spec import Source as Source
from .mix.takes.diverse import Diverse as Diverse
from .mix.takes.facility import FacilityLocation as FacilityLocation
from .mix.takes.length_matched import LengthMatched as LengthMatched
from .mix.takes.ranked import Longest as Longest, Top as Top
from .mix.takes.selection import Budget as Budget, Choice as Choice, Selection as Selection
from .mix.takes.similar import Similar as Similar
from .mix.takes.stratified import Stratified as Stratified
from .mix.amounts import All as All, Fraction as Fraction, Repeat as Repeat, Rows as Rows, Tokens as Tokens
from .rows.tokens import Tokenizer as Tokenizer
from .mixture import Mixture as Mixture
from .result.build import Build as Build
from .rows.edits import Change as Change, Edits as Edits
from .rows.segments import Segments as Segments
from .steps.base import (
    Bound as Bound,
    Edit as Edit,
    Evidence as Evidence,
    Filter as Filter,
    Finding as Finding,
    Group as Group,
    GroupKeys as GroupKeys,
    KeyLists as KeyLists,
    Paired as Paired,
    Pairing as Pairing,
    Resolved as Resolved,
    Scores as Scores,
    Step as Step,
)
from .steps.custom.functions import change as change
from .steps.custom.functions import keep_if as keep_if
from .steps.custom.where import where as where
from .steps.decontaminate.decontaminate import decontaminate as decontaminate
from .steps.dedup.dedup import dedup as dedup
from .steps.dedup.exact_dedup import exact_dedup as exact_dedup
from .steps.dedup.exact_dedup import exclude_prompts_of as exclude_prompts_of
from .steps.filters.character_share import character_share as character_share
from .steps.filters.language import language as language
from .steps.filters.quality import quality as quality
from .steps.filters.repetition import repetition as repetition
from .steps.filters.score import score as score
from .steps.filters.secrets_and_pii import secrets_and_pii as secrets_and_pii
from .steps.filters.shape import shape as shape
from .steps.filters.truecase import truecase as truecase
from .steps.judging.judge import judge as judge
from .steps.pairs.balance_length import balance_length as balance_length
from .steps.pairs.binarize import (
    argilla as argilla,
    at_least as at_least,
    binarize as binarize,
    max_min as max_min,
    tulu3 as tulu3,
    zephyr as zephyr,
)
from .steps.pairs.completion_scores import mean as mean, weighted as weighted
from .steps.pairs.contradictions import contradictions as contradictions
from .steps.pairs.lint_pairs import lint_pairs as lint_pairs
from .steps.refusals.cut_refusals import cut_refusals as cut_refusals
from .steps.refusals.refusals import refusals as refusals

__all__: list[str]
__version__: str
