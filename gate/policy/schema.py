"""The JSON Schema of a policy file: what ``gate policy schema`` prints and the documentation publishes."""

from __future__ import annotations

import json
from typing import Any

from gate.policy.document import PolicyDocument


def json_schema() -> dict[str, Any]:
    """The schema of policy files, version 1, generated from the document's shape.

    It knows keys and types; what they mean together, such as limits that fit their rate, only ``gate policy validate``
    checks.

    >>> json_schema()["required"]
    ['version', 'name', 'rules']
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PolicyDocument.model_json_schema()}


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as it is published.

    >>> print(schema_text({"type": "object"}), end="")
    {
     "type": "object"
    }
    """
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
