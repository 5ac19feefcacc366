"""The GraphQL that the end-to-end test speaks."""

VALUES = ("intValue", "floatValue", "boolValue", "text", "mdStr")

_METADATA = """
metadataEntries {
  label
  ... on IntMetadataEntry { intValue }
  ... on FloatMetadataEntry { floatValue }
  ... on BoolMetadataEntry { boolValue }
  ... on TextMetadataEntry { text }
  ... on MarkdownMetadataEntry { mdStr }
}
"""

LOADED = """
query Loaded($repositoryName: String!, $repositoryLocationName: String!) {
  repositoryOrError(
    repositorySelector: {repositoryName: $repositoryName, repositoryLocationName: $repositoryLocationName}
  ) { ... on Repository { name } }
}
"""

RUNS = """
query Runs {
  runsOrError { ... on Runs { results { runId status jobName tags { key value } } } }
}
"""

EVENTS = (
    """
query Events($key: AssetKeyInput!, $partitions: [String!]) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode {
    assetMaterializations(partitions: $partitions, limit: 200) { runId tags { key value } """
    + _METADATA
    + """ }
  } }
}
"""
)

CHECKS = """
query Checks($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode { assetChecksOrError { ... on AssetChecks { checks {
    name
    executionForLatestMaterialization { status }
    partitionStatuses { ... on AssetCheckDefaultPartitionStatuses {
      succeededPartitions failedPartitions inProgressPartitions skippedPartitions executionFailedPartitions
    } }
  } } } } }
}
"""

CHECK_RESULTS = (
    """
query CheckResults($key: AssetKeyInput!, $check: String!, $partition: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $check, partition: $partition, limit: 1) {
    evaluation { success severity """
    + _METADATA
    + """ }
  }
}
"""
)

STALE = """
query Stale($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys staleStatusByPartition } }
}
"""

TICKS = """
query Ticks($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) { ... on Sensor { sensorState { ticks(limit: 3) { status skipReason } } } }
}
"""

LAUNCH = """
mutation Launch($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""

BACKFILL = """
mutation Backfill($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""

BACKFILL_STATUS = """
query BackfillStatus($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } }
}
"""

SENSOR = """
query Sensor($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) { ... on Sensor { id sensorState { id } } }
}
"""

START_SENSOR = """
mutation StartSensor($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { __typename }
}
"""

STOP_SENSOR = """
mutation StopSensor($id: String!) {
  stopSensor(id: $id) { __typename }
}
"""

LOG_FILES = """
query LogFiles($run: ID!) {
  logsForRun(runId: $run) { ... on EventConnection { events { ... on LogsCapturedEvent { fileKey } } } }
}
"""

CAPTURED = """
query Captured($key: [String!]!) {
  capturedLogs(logKey: $key) { stdout stderr }
}
"""
