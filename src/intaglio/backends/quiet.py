"""Keeping the libraries silent and off the network while they work, and leaving the process as it was found."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from intaglio.core.errors import BackendMissing

_LOGGERS = ("diffusers", "transformers", "accelerate", "huggingface_hub")


class _Collector(logging.Handler):
    """Keeps warnings instead of printing them."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record.getMessage())


def library(name: str) -> Any:
    """The module `name`, imported on first use. Raises BackendMissing when it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ImportError as error:
        raise BackendMissing(f"{name} cannot be imported: {error}") from error


@contextmanager
def quiet() -> Iterator[list[str]]:
    """No warnings, log lines or progress bars from the libraries, and no network; yields what they would have logged.

    Warning filters, loggers, progress bars and the offline switch are the process's own: all are put back.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for name in ("huggingface_hub", "transformers", "diffusers"):
            library(name)
        kept: list[str] = []
        for name in _LOGGERS:
            stack.enter_context(_collected(logging.getLogger(name), kept))
        stack.enter_context(_without_bars())
        stack.enter_context(_offline())
        yield kept


@contextmanager
def _collected(logger: logging.Logger, kept: list[str]) -> Iterator[None]:
    level, handlers, propagate = logger.level, logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [_Collector(kept)], False
    _set_level(logger, logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        _set_level(logger, level)


def _set_level(logger: logging.Logger, level: int) -> None:
    # Setting it empties a cache of every logger there is, hundreds with these libraries.
    if logger.level != level:
        logger.setLevel(level)


@contextmanager
def _without_bars() -> Iterator[None]:
    hub = library("huggingface_hub.utils")
    loggings = [library(name) for name in ("transformers.utils.logging", "diffusers.utils.logging")]
    hub_was_off = hub.are_progress_bars_disabled()
    shown = [module for module in loggings if module.is_progress_bar_enabled()]
    for module in shown:
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module in shown:
            module.enable_progress_bar()
        if hub_was_off:
            hub.disable_progress_bars()


@contextmanager
def _offline() -> Iterator[None]:
    constants = library("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
