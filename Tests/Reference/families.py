"""Frozen vectors of tiny random models of every family, as transformers computes them in float64.

Run it with PyTorch and transformers (written with 5.24):

    python3 Tests/Reference/families.py

It rewrites Tests/Reference/vectors/families.json: for each model its config.json, its tensors as a file
has them, a text that is longer than every window, and the logits and the gradients of the summed loss of
the text. Weights are multiples of 2^-8, so that float32 holds them exactly.
"""

import json
import pathlib

import torch
import transformers
from transformers import (
    LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Phi3Config, Phi3ForCausalLM,
    Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)

VECTORS = pathlib.Path(__file__).resolve().parent / "vectors"
SIZES = dict(
    vocab_size=11, hidden_size=8, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=64, bos_token_id=0, eos_token_id=1,
    pad_token_id=None, tie_word_embeddings=True, rms_norm_eps=2.0**-17)
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 10, 7]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
        "rope_theta": 100.0}
MODELS = {
    "llama_biases": (LlamaConfig, LlamaForCausalLM, dict(attention_bias=True)),
    "mistral": (MistralConfig, MistralForCausalLM, dict(sliding_window=5)),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, dict()),
    "qwen2_windows_yarn": (Qwen2Config, Qwen2ForCausalLM, dict(
        use_sliding_window=True, sliding_window=3, max_window_layers=1, rope_parameters=YARN)),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, dict(head_dim=6)),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM, dict(no_rope_layer_interval=2)),
    "phi3": (Phi3Config, Phi3ForCausalLM, dict(
        sliding_window=6, rope_parameters={
            "rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5})),
    "phi3_longrope": (Phi3Config, Phi3ForCausalLM, dict(
        original_max_position_embeddings=8, rope_parameters={
            "rope_type": "longrope", "rope_theta": 100.0, "short_factor": [1.0, 1.5],
            "long_factor": [1.25, 3.0]})),
}


def values(tensor):
    return [float(f"{value:.12g}") for value in tensor.flatten().tolist()]


def vectors(config, model, changes):
    model = model(config(**{**SIZES, **changes})).double()
    model.config._attn_implementation = "eager"
    generator = torch.Generator().manual_seed(11)
    for name, parameter in model.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        drawn = 1 + 0.2 * drawn if "norm" in name else 0.5 * drawn
        parameter.data = (drawn * 256).round() / 256
    ids = torch.tensor([TOKENS])
    logits = model(ids).logits[0]
    losses = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum")
    losses.backward()
    return {
        "config": model.config.to_dict() | {"architectures": [type(model).__name__]},
        "tensors": {name: {"shape": list(parameter.shape), "values": values(parameter),
                           "gradient": values(parameter.grad)}
                    for name, parameter in model.named_parameters()},
        "tokens": TOKENS,
        "logits": values(logits),
    }


def main():
    result = {name: vectors(*model) for name, model in MODELS.items()}
    for model in result.values():
        model["config"].pop("transformers_version", None)
    text = json.dumps(result, sort_keys=True, separators=(",", ":"))
    (VECTORS / "families.json").write_text(text.replace('},"', '},\n"') + "\n")
    print(transformers.__version__, len(text))


main()
