"""How a user's own assets take what a dataset publishes as an input: opened, as their annotation asks, never copied."""

from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from image_assets.core.errors import DatasetError
from image_assets.defs.input_pins import pin_of, recorded_commits, recorded_facts
from image_assets.defs.instance_events import plain_failures
from image_assets.defs.open_inputs import OpenInputs
from image_assets.loaders.inputs import IMAGE_SHARDS, open_input, wish_of
from image_assets.loaders.table_parts import PinnedTable
from image_assets.pipeline.pinning import pinned_snapshot, refuse_other_vectors
from image_assets.pipeline.store_places import store_url
from image_assets.storage.indexes import newest_index_head, read_index_head
from image_assets.storage.store import Store

# On an asset that has another last word in its key: whose table it is.
TABLE_METADATA = "image_assets/table"
_SHOWN_SHARDS = 8


class ImageAssetsIOManager(dg.ConfigurableIOManager):
    """Gives the assets of one dataset to assets that are made of them: the open dataset, Arrow, pandas, polars, Dask …

    An input is the snapshot that its asset was last materialized of, whatever is published meanwhile. It is read where
    it is used, and closed when the step is over. Nothing is ever written.
    """

    store: str = Field(description="The store's folder or URL, or the path of the dataset's settings file (.yaml).")
    _open: OpenInputs = PrivateAttr(default_factory=OpenInputs)

    def load_input(self, context: dg.InputContext) -> Any:
        """Return what the input's annotation asks for.

        Raises:
            Failure: there is no such thing, or the snapshot is gone; it says so in one sentence.
        """
        asset, name = context.asset_key.to_user_string(), _table_name(context)
        step = _step_of(context)
        self._open.leave_others(step)
        with plain_failures():
            wish = wish_of(name, context.dagster_type.typing_type, context.definition_metadata)
            store = Store(store_url(self.store), create=False)
            pinned, said = (_commits if name == IMAGE_SHARDS else _snapshot)(context, store, name)
            self._open.refuse_mixture(pinned, asset)
            opened = open_input(pinned, wish)
        # Outside of a run whoever asked decides how long it is used.
        if step is not None:
            self._open.close_later(opened.close)
        _note(context, said | {"given_as": wish.word, "store": store.url})
        return opened.value

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Do nothing for the dataset's own assets, which write their files themselves.

        Raises:
            Failure: a value was to be stored here.
        """
        if obj is not None:
            raise dg.Failure(
                f"{context.asset_key.to_user_string()} cannot be stored by {type(self).__name__}, which only reads "
                "what image_assets published; give the asset another io_manager_key",
                allow_retries=False,
            )

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - as Dagster calls it
        """Close whatever was opened."""
        self._open.leave_others(None)


def _snapshot(context: dg.InputContext, store: Store, name: str) -> tuple[PinnedTable, dict[str, Any]]:
    facts = recorded_facts(context.instance, context.asset_key)
    pin = pin_of(facts)
    head = newest_index_head(store) if pin is None else read_index_head(store, pinned_snapshot(store, pin))
    if head is None:
        raise DatasetError(f"no published dataset in {store.url}; materialize training_index first")
    if "extractor_digest" in facts:
        refuse_other_vectors(store, facts["extractor"], facts["extractor_digest"])
    chosen = "by the last materialization" if pin else "the newest: no materialization names one"
    said = {"snapshot": head.number, "digest": head.digest, "rows": head.rows, "chosen": chosen}
    return PinnedTable(store.url, name, head.number, head.digest), said


def _commits(context: dg.InputContext, store: Store, name: str) -> tuple[PinnedTable, dict[str, Any]]:
    shards = sorted(context.asset_partition_keys)
    commits = recorded_commits(context.instance, context.asset_key, shards)
    shown = ", ".join(f"{shard}: {commits[shard] or 'the last'}" for shard in shards[:_SHOWN_SHARDS])
    more = ", …" if len(shards) > _SHOWN_SHARDS else ""
    return PinnedTable(store.url, name, 0, "", commits), {"shards": len(shards), "commits": shown + more}


def _note(context: dg.InputContext, facts: dict[str, Any]) -> None:
    """Write down in the run what was read."""
    words = ", ".join(f"{name}: {value}" for name, value in facts.items())
    context.log.info("input %s: %s", context.asset_key.to_user_string(), words)
    # Of several partitions at once Dagster has no place for it.
    if not context.has_asset_partitions or len(context.asset_partition_keys) == 1:
        context.add_input_metadata(facts)


def _table_name(context: dg.InputContext) -> str:
    upstream = context.upstream_output
    said = upstream.definition_metadata if upstream is not None else {}
    return str(said.get(TABLE_METADATA, context.asset_key.path[-1]))


def _step_of(context: dg.InputContext) -> str | None:
    """Return the step that is running, and which try of it; None outside of a run."""
    try:
        return f"{context.step_context.step.key} {context.step_context.previous_attempt_count}"
    except dg.DagsterInvariantViolationError:
        return None
