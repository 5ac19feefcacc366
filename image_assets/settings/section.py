"""What all sections of the settings have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings: frozen, and without unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
