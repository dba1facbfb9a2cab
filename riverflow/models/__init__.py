"""The nouns of riverflow as frozen structs. Times are Unix seconds (UTC) unless a name says otherwise.

This package holds values and what can be said from them alone; it decides nothing and reads no clock.
"""

from .configuration import (
    DEFAULT_SIGNERS,
    Endpoint,
    Fallback,
    Identity,
    Project,
    StructuredOutput,
    TokenClaims,
    Workflow,
)
from .delivery import Answer, Delivery, OutgoingMessage, Settlement, Target, lane_of
from .provider import GenerateRequest, Generation, ProviderAttempt, Usage
from .run import (
    CHECKPOINTS,
    FINAL_KINDS,
    Completed,
    Deferred,
    Entry,
    Failed,
    Frame,
    Outcome,
    Output,
    Plan,
    Receipt,
    Record,
    Run,
    Waiting,
)
from .store import Append, Claim, Document
from .values import ADMIN, CALLBACK, READ, SCOPES, SUBMIT, DeliveryStatus, Json, MaybeJson, Phase, Status, canonical_id

__all__ = [
    "ADMIN",
    "CALLBACK",
    "CHECKPOINTS",
    "DEFAULT_SIGNERS",
    "FINAL_KINDS",
    "READ",
    "SCOPES",
    "SUBMIT",
    "Answer",
    "Append",
    "Claim",
    "Completed",
    "Deferred",
    "Delivery",
    "DeliveryStatus",
    "Document",
    "Endpoint",
    "Entry",
    "Failed",
    "Fallback",
    "Frame",
    "GenerateRequest",
    "Generation",
    "Identity",
    "Json",
    "MaybeJson",
    "Outcome",
    "OutgoingMessage",
    "Output",
    "Phase",
    "Plan",
    "Project",
    "ProviderAttempt",
    "Receipt",
    "Record",
    "Run",
    "Settlement",
    "Status",
    "StructuredOutput",
    "Target",
    "TokenClaims",
    "Usage",
    "Waiting",
    "Workflow",
    "canonical_id",
    "lane_of",
]
