/** Model files: safetensors, config, tokenizer and lineage, opened lazily and written whole. */
package dev.lathe.checkpoint;
