"""GraphQL queries and mutations for Dagster 1.13. Every result that can be an error requests its message."""

_RUN_FIELDS = "fragment run on Run { runId status tags { key value } assetSelection { path } creationTime }"
_ERROR_FIELDS = "fragment error on PythonError { message className causes { message className } }"

LAUNCH = f"""
mutation Launch($params: ExecutionParams!) {{
  launchRun(executionParams: $params) {{
    __typename
    ... on LaunchRunSuccess {{ run {{ ...run }} }}
    ... on PythonError {{ ...error }}
    ... on Error {{ message }}
    ... on RunConfigValidationInvalid {{ errors {{ message }} }}
  }}
}}
{_RUN_FIELDS} {_ERROR_FIELDS}
"""

FIND_RUNS = f"""
query FindRuns($tags: [ExecutionTag!]!, $limit: Int!) {{
  runsOrError(filter: {{tags: $tags}}, limit: $limit) {{
    __typename
    ... on Runs {{ results {{ ...run }} }}
    ... on PythonError {{ ...error }}
    ... on Error {{ message }}
  }}
}}
{_RUN_FIELDS} {_ERROR_FIELDS}
"""

RUN = f"""
query Run($runId: ID!) {{
  runOrError(runId: $runId) {{
    __typename
    ... on Run {{ ...run }}
    ... on PythonError {{ ...error }}
    ... on Error {{ message }}
  }}
}}
{_RUN_FIELDS} {_ERROR_FIELDS}
"""

TERMINATE = f"""
mutation Terminate($runId: String!, $policy: TerminateRunPolicy) {{
  terminateRun(runId: $runId, terminatePolicy: $policy) {{
    __typename
    ... on TerminateRunFailure {{ message }}
    ... on PythonError {{ ...error }}
    ... on Error {{ message }}
  }}
}}
{_ERROR_FIELDS}
"""

EVENTS = f"""
query Events($runId: ID!, $cursor: String) {{
  logsForRun(runId: $runId, afterCursor: $cursor, limit: 1000) {{
    __typename
    ... on EventConnection {{
      cursor
      hasMore
      events {{
        __typename
        ... on ExecutionStepFailureEvent {{ stepKey error {{ ...error }} }}
        ... on RunFailureEvent {{ message error {{ ...error }} }}
        ... on AssetCheckEvaluationEvent {{
          evaluation {{
            checkName assetKey {{ path }} success severity description
            metadataEntries {{
              __typename label
              ... on TextMetadataEntry {{ text }}
              ... on IntMetadataEntry {{ intRepr }}
              ... on FloatMetadataEntry {{ floatRepr }}
              ... on BoolMetadataEntry {{ boolValue }}
              ... on JsonMetadataEntry {{ jsonString }}
              ... on MarkdownMetadataEntry {{ mdStr }}
              ... on UrlMetadataEntry {{ url }}
              ... on PathMetadataEntry {{ path }}
              ... on TableMetadataEntry {{ table {{ records }} }}
            }}
          }}
        }}
      }}
    }}
    ... on PythonError {{ ...error }}
    ... on Error {{ message }}
  }}
}}
{_ERROR_FIELDS}
"""

PARTITION = """
query Partition($asset: AssetKeyInput!, $partition: String!) {
  assetNodeOrError(assetKey: $asset) {
    __typename
    ... on AssetNode {
      assetMaterializations(partitions: [$partition], limit: 1) { timestamp }
      partitionKeyConnection(limit: 1, ascending: true) { results }
    }
    ... on Error { message }
  }
}
"""

PARTITION_KEYS = """
query PartitionKeys($assets: [AssetKeyInput!]!) {
  assetNodes(assetKeys: $assets) { assetKey { path } partitionKeys }
}
"""

WORKSPACE = f"""
query Workspace {{
  workspaceOrError {{
    __typename
    ... on Workspace {{
      locationEntries {{
        name
        locationOrLoadError {{
          __typename
          ... on RepositoryLocation {{ repositories {{ name jobs {{ name }} }} }}
          ... on PythonError {{ ...error }}
        }}
      }}
    }}
    ... on PythonError {{ ...error }}
    ... on Error {{ message }}
  }}
}}
{_ERROR_FIELDS}
"""
