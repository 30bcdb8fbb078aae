"""What a real small model thinks of the first token of each candidate: for ``benchmarks.borderline_delay``.

Run by the Python that `scripts/serve-smollm.sh install` set up, once for each version of the weights:
``.tools/smollm/venv/bin/python benchmarks/first_tokens.py WEIGHTS.gguf PROMPTS.json OUT.json``. PROMPTS.json is a list
of texts, as ``benchmarks.borderline_delay --write-prompts PROMPTS.json`` writes it.
"""

import json
import sys
from pathlib import Path

import llama_cpp
import numpy as np

TOP = 40
"""How many tokens are kept of each: at the temperatures of canaries the others are never drawn."""


def main(weights: str, prompts: str, out: str) -> None:
    """Write the likeliest first tokens of each prompt, with their log-probabilities at temperature 1."""
    model = llama_cpp.Llama(weights, n_ctx=256, n_threads=1, verbose=False)
    found = {}
    for prompt in json.loads(Path(prompts).read_text()):
        asked = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        model.reset()
        model.eval(model.tokenize(asked.encode(), special=True, add_bos=False))
        values = llama_cpp.llama_get_logits(model.ctx)
        logits = np.ctypeslib.as_array(values, shape=(model.n_vocab(),)).astype(np.float64)
        logprobs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        found[prompt] = [[str(token), float(logprobs[token])] for token in np.argsort(-logprobs)[:TOP]]
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
