"""The settings: typed layers, kept apart so that the source of a value can be named."""

from workgraph.settings.layers import (
    Item,
    Layered,
    Value,
    load_settings,
    to_plain,
    toml_text,
)
from workgraph.settings.schema import (
    Endpoint,
    ExecutorSettings,
    Layer,
    Permissions,
    PromptMode,
    Settings,
    Stream,
)
from workgraph.settings.writing import default_config_text, set_value

__all__ = [
    "Endpoint",
    "ExecutorSettings",
    "Item",
    "Layer",
    "Layered",
    "Permissions",
    "PromptMode",
    "Settings",
    "Stream",
    "Value",
    "default_config_text",
    "load_settings",
    "set_value",
    "to_plain",
    "toml_text",
]
