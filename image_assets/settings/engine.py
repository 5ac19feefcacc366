"""Where the work of a run is done: in processes of this machine, or in a cluster."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from image_assets.settings.section import Section

Kind = Literal["auto", "inline", "local", "ray", "dask", "spark"]
# The kind of cluster by how its address begins.
SCHEMES = {
    "ray": "ray", "tcp": "dask", "tls": "dask", "ws": "dask", "wss": "dask", "ucx": "dask", "spark": "spark",
    "k8s": "spark",
}  # fmt: skip


class EngineSettings(Section):
    """Which engine does the work, and how it is reached."""

    kind: Kind = Field(
        "auto",
        description="inline, local, ray, dask, spark, or auto: local, and from cluster_from_bytes on the address.",
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="A running cluster (ray://head:10001, tcp://scheduler:8786, spark://master:7077); "
        "none: ray, dask and spark start one on this machine for each run.",
    )
    cluster_from_bytes: int = Field(
        4 * 2**30, ge=0, description="With auto and an address: from so many bytes to do the cluster is used."
    )
    host: str | None = Field(
        None,
        min_length=1,
        description="Name or address under which the cluster's workers reach the run; none: this machine's own.",
    )
    port: int = Field(0, ge=0, le=65535, description="Port for the same; 0: any free one.")

    @model_validator(mode="after")
    def _address_goes_with_kind(self) -> "EngineSettings":
        if self.address is None or self.kind in {"inline", "local"}:
            return self
        scheme = self.address.partition("://")[0] if "://" in self.address else None
        named = SCHEMES.get(scheme) if scheme is not None else None
        if self.kind == "auto" and named is None:
            raise ValueError(f"address {self.address!r} does not say of which cluster it is; set engine.kind")
        if self.kind != "auto" and named is not None and named != self.kind:
            raise ValueError(f"address {self.address!r} is one of {named}, not of {self.kind}")
        return self

    @property
    def cluster(self) -> str | None:
        """The kind of cluster that the address, or the kind itself, names; None: there is none."""
        if self.kind in {"ray", "dask", "spark"}:
            return self.kind
        return None if self.address is None else SCHEMES.get(self.address.partition("://")[0])


def engine_of(value: Any) -> Any:
    """Return the section for one word (``ray``) or an address (``tcp://scheduler:8786``); anything else as it is."""
    if not isinstance(value, str):
        return value
    if "://" not in value:
        if value not in get_args(Kind):
            raise ValueError(f"unknown engine {value!r}; known: {', '.join(get_args(Kind))}, or an address")
        return {"kind": value}
    kind = SCHEMES.get(value.partition("://")[0])
    if kind is None:
        raise ValueError(f"{value!r} is no address of a cluster; known begin with {', '.join(SCHEMES)} and ://")
    return {"kind": kind, "address": value}


Engine = Annotated[EngineSettings, BeforeValidator(engine_of)]
