"""The package's own exceptions: each message is one sentence about what is wrong and one about what to do."""


class LabError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(LabError, ValueError):
    """A `config.json` that is not of the Qwen3.5 family, or that contradicts itself."""


class CheckpointError(LabError, OSError):
    """A checkpoint that is missing, damaged, incomplete, or that could not be written."""


class TraceError(LabError, OSError):
    """A trace file that is missing, damaged, or that could not be written."""


class InputError(LabError, ValueError):
    """An argument or a tensor that the model cannot take."""


class ServerError(LabError, OSError):
    """A server that is not there, that refuses, that breaks off, or that says what nobody can read."""
