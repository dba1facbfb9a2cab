"""riverflow: event-driven AI workflows in your own ASGI app.

Public names only; what is not here or in a module without an underscore is internal. Names are loaded when they are
first used: a webhook receiver imports `riverflow.webhooks`, and with it nothing of the engine.
"""

import typing as _typing
from importlib import import_module as _import_module

if _typing.TYPE_CHECKING:
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

_HOMES = {
    "Completed": "models",
    "Endpoint": "models",
    "Event": "event",
    "Failed": "models",
    "Failure": "errors",
    "Fallback": "models",
    "Identity": "models",
    "Pipeline": "pipeline",
    "Result": "event",
    "Riverflow": "app",
    "RiverflowError": "errors",
    "RiverflowMiddleware": "middleware",
    "RunHandle": "run_handle",
    "Settings": "config",
    "Stage": "pipeline",
    "StageContext": "ports",
    "StructuredOutput": "models",
    "Waiting": "models",
    "Workflow": "models",
    "hookimpl": "hookspecs",
}


if not _typing.TYPE_CHECKING:  # a type checker would take it for a promise of any name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
