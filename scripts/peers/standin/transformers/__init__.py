"""What peers call of transformers."""

import torch
from torch.core import recorded, require

__version__ = "stand-in"


class LlamaConfig:
    def __init__(self, *, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads,
                 head_dim, vocab_size, tie_word_embeddings, max_position_embeddings):
        self.max_position_embeddings = max_position_embeddings


class _GenerationConfig:
    eos_token_id = 2


class LlamaForCausalLM:
    def __init__(self, config):
        self.config = config
        self.generation_config = _GenerationConfig()

    def eval(self):
        return self

    def generate(self, prompt, *, attention_mask, max_new_tokens, do_sample, cache_implementation, pad_token_id):
        require(prompt.shape == attention_mask.shape and prompt.dim() == 2, "generate from such a prompt")
        require(cache_implementation == "static", "another cache")
        tokens = prompt.shape[1] + max_new_tokens
        require(tokens <= self.config.max_position_embeddings, "more tokens than positions")
        self._compiled_call = True
        return recorded("generate", torch.ones((prompt.shape[0], tokens), dtype=torch.long, device="cuda"))
