#!/usr/bin/env python3
"""Writes schema.json: what the published schemas of Kubernetes say of the kinds that the example uses.

    pip download --no-deps kubernetes-validate==1.37.0
    python3 reduce.py kubernetes_validate-1.37.0-py3-none-any.whl >schema.json

Nothing is changed but that descriptions are left out, that the definitions stand beside the kinds instead of in a file of
their own, and that those which no kind needs are gone.
"""

import json
import sys
import zipfile

FOLDER = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/"
FILES = {
    "apps/v1 StatefulSet": "statefulset-apps-v1.json",
    "policy/v1 PodDisruptionBudget": "poddisruptionbudget-policy-v1.json",
    "v1 Secret": "secret-v1.json",
    "v1 Service": "service-v1.json",
}
HERE = "#/$defs/"


def plain(node, needed):
    """The node without descriptions, with references into this file; `needed` gets what it refers to."""
    if isinstance(node, list):
        return [plain(item, needed) for item in node]
    if not isinstance(node, dict):
        return node
    # The name of a property may be "description" as well: such a one is no text.
    out = {k: plain(v, needed) for k, v in node.items() if k != "description" or not isinstance(v, str)}
    target = out.get("$ref")
    if isinstance(target, str):
        name = target.rpartition(HERE)[2]
        assert target in (HERE + name, "/api/_definitions.json" + HERE + name), target
        needed.add(name)
        out["$ref"] = HERE + name
    return out


archive = zipfile.ZipFile(sys.argv[1])
load = lambda name: json.loads(archive.read(FOLDER + name))
definitions, needed, out = load("_definitions.json")["$defs"], set(), {}
kinds = {kind: plain(load(name), needed) for kind, name in FILES.items()}
while waiting := needed - out.keys():
    for name in waiting:
        out[name] = plain(definitions[name], needed)

lines = [f'"$defs": {{\n' + ",\n".join(f"{json.dumps(k)}: {json.dumps(out[k], sort_keys=True)}" for k in sorted(out)) + "\n}"]
lines += [f"{json.dumps(kind)}: {json.dumps(kinds[kind], sort_keys=True)}" for kind in sorted(kinds)]
print("{\n" + ",\n".join(lines) + "\n}")
