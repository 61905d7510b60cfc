"""A stand-in for an evaluator that goes by the evidence in its prompt, and no more.

All that is somebody else's stands behind `> ` there. This one looks for an example in
the work; that the writer praises it counts for nothing. A real client hands the prompt
to a model, which answers in the same way: by one line of JSON, the last of its output.
"""

import json
import sys

if __name__ == "__main__":
    shown = [line[2:] for line in sys.stdin.read().splitlines() if line[:2] == "> "]
    has_example = "Example:" in shown
    answer = {
        "dimensions": {"correctness": 1.0, "completeness": 0.6 if has_example else 0.1},
        "notes": "" if has_example else "there is no example",
    }
    print(f"it was shown {len(shown)} lines")
    print(json.dumps(answer))
