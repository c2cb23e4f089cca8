/** Architectures and their forward pass over a backend; weights, paged KV-cache, batches. */
package dev.lathe.model;
