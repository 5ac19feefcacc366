"""The name of every number that Prometheus is told, and what it is."""

PREFIX = "image_assets_"
# All have the label `dataset`. None has a key, a label of an image or a shard in it, so that a dataset is some hundred
# series, whatever it holds.
_METRICS = {
    "up": "1 where the numbers of this dataset could be read, else 0.",
    "collected_timestamp_seconds": "When these numbers were read.",
    "collection_seconds": "How long reading them took.",
    "images": "Images that have an output, by the last commits.",
    "failed_images": "Images that have none, by reason.",
    "output_bytes": "Bytes of all outputs.",
    "shards": "Shards of the dataset.",
    "committed_shards": "Shards that have a commit.",
    "refused_shards": "Shards whose newest state was refused by a check, and that keep the one before.",
    "unindexed_shards": "Shards whose last commit is not the one in the newest index.",
    "last_commit_timestamp_seconds": "When the newest commit was made.",
    "last_run_shards": "Shards that were committed since the index before the newest commit.",
    "last_run_images": "Images of these shards, by what became of them.",
    "last_run_decoded_images": "Images that were decoded for these commits.",
    "last_run_read_bytes": "Bytes that were read from the source for them.",
    "last_run_processing_seconds": "Seconds that they took, together.",
    "last_run_busy_seconds": "Seconds that workers were busy with them, together.",
    "index_number": "Number of the newest index.",
    "index_rows": "Rows of the newest index.",
    "index_timestamp_seconds": "When the newest index was made.",
    "snapshots": "Indexes that can still be read.",
    "feature_vectors": "Rows of the file of feature vectors.",
    "duplicate_images": "Images that are duplicates of another, by kind.",
    "duplicate_groups": "Groups of duplicates.",
    "failing_checks": "How many of a check's last verdicts (one for each shard, or one) are failures, by severity.",
    "listed_images": "Images in the newest snapshot of the source.",
    "listing_timestamp_seconds": "When that snapshot was made.",
    "source_up": "1 where the source could be listed just now, else 0; only with --source.",
    "pending_shards": "Shards that a run would have to do now; only with --source.",
    "store_size_bytes": "Size of the disk that the store lies on; only of a store in a folder.",
    "store_free_bytes": "Free bytes of that disk.",
    "forgetting_pending": "1 where `image-assets forget` was interrupted and has to be called again.",
}
HELP = {PREFIX + name: text for name, text in _METRICS.items()}
