package dev.lathe.backend;

import dev.lathe.tensor.Tensor;

/**
 * A norm that is part of another operation: {@code x / sqrt(mean(x^2) + epsilon) * weight}, row by
 * row, as {@link Backend#rmsNorm} has it.
 *
 * @param weight [cols] F32
 */
public record RmsNorm(Tensor weight, float epsilon) {}
