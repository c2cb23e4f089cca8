/** What {@code scripts/gpu-check} runs on a machine with a GPU. */
package dev.lathe.gpucheck;
