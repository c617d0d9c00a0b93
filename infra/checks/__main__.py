"""Names, references and rules over the files of a folder; exit status 1 with a line for each finding."""

import sys
from pathlib import Path

from infra.checks import names, provider, references, rules
from infra.checks.configuration import read


def main() -> None:
    configuration = read(Path(sys.argv[1]) if len(sys.argv) > 1 else provider.INFRA)
    schema = provider.load()
    found = names.check(configuration, schema) + references.check(configuration, schema) + rules.check(configuration)
    for sentence in found:
        print(sentence)
    checked = sum(len(configuration.of(kind)) for kind in ("resource", "data"))
    print(f"{checked} resources, hashicorp/google {schema.version}, {len(rules.RULES)} rules: {len(found)} findings")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
