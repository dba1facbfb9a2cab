"""riverflow: event-driven AI workflows in your own ASGI app.

Public names only; what is not here or in a module without an underscore is internal.
"""

from .app import Riverflow
from .config import Settings
from .errors import Failure, RiverflowError
from .event import Event, Result
from .hookspecs import hookimpl
from .middleware import RiverflowMiddleware
from .models import Completed, Endpoint, Failed, Fallback, Identity, StructuredOutput, Waiting, Workflow
from .pipeline import Pipeline, Stage
from .ports import StageContext
from .run_handle import RunHandle

__all__ = [
    "Completed",
    "Endpoint",
    "Event",
    "Failed",
    "Failure",
    "Fallback",
    "Identity",
    "Pipeline",
    "Result",
    "Riverflow",
    "RiverflowError",
    "RiverflowMiddleware",
    "RunHandle",
    "Settings",
    "Stage",
    "StageContext",
    "StructuredOutput",
    "Waiting",
    "Workflow",
    "hookimpl",
]
