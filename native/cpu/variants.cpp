/* What decoders other than Llama need: LayerNorm, norms after a layer and over heads, learned positions, plain
 * activations, scaled embeddings, capped logits. */
#include "context.h"

using lathe::Kv;

int32_t lathe_cpu_layer_norm(lathe_cpu* cpu, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                             const float* weight, const float* bias, int64_t rows, int64_t cols, float epsilon) {
  overRows(cpu, rows, cols, [=](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      cpu->kernels->layer_norm(out + r * out_stride, x + r * x_stride, weight, bias, cols, epsilon);
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_add_rms_norm(lathe_cpu* cpu, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                               const float* weight, int64_t rows, int64_t cols, float epsilon) {
  overRows(cpu, rows, cols, [=](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      cpu->kernels->add_rms_norm(out + r * out_stride, x + r * x_stride, weight, cols, epsilon);
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_norm_heads(lathe_cpu* cpu, float* qkv, int64_t stride, int64_t tokens, const float* query_weight,
                             const float* key_weight, int32_t heads, int32_t kv_heads, int32_t head_dim,
                             float epsilon) {
  overRows(cpu, tokens, int64_t(heads + kv_heads) * head_dim, [=](int64_t from, int64_t to) {
    for (int64_t t = from; t < to; t++) {
      for (int64_t h = 0; h < heads + kv_heads; h++) {
        float* head = qkv + t * stride + h * head_dim;
        cpu->kernels->rms_norm(head, head, h < heads ? query_weight : key_weight, head_dim, epsilon);
      }
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_add_embedding(lathe_cpu* cpu, float* out, int64_t out_stride, const lathe_weight* table,
                                const int32_t* rows, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    if (rows[i] < 0 || rows[i] >= table->rows) {
      return LATHE_BAD_ROW;
    }
  }
  cpu->chain.finish();
  if (!cpu->reserve(table->cols + 16)) {
    return LATHE_NO_MEMORY;
  }
  float* row = cpu->scratch[0].floats(0);
  for (int64_t i = 0; i < count; i++) {
    const lathe_weight* part = table;
    int64_t index = rows[i];
    if (table->kind == LATHE_STACKED) {
      for (part = table->parts; index >= part->rows; part++) {
        index -= part->rows;
      }
    }
    cpu->kernels->dequantize(*part, index, row);
    float* to = out + i * out_stride;
    for (int64_t c = 0; c < table->cols; c++) {
      to[c] += row[c];
    }
  }
  return LATHE_OK;
}

int32_t lathe_cpu_activate(lathe_cpu* cpu, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                           int64_t rows, int64_t cols, int32_t activation) {
  overRows(cpu, rows, cols * 4, [=](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      cpu->kernels->activate(out + r * out_stride, x + r * x_stride, cols, activation);
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_scale(lathe_cpu* cpu, float* x, int64_t stride, int64_t rows, int64_t cols, float factor) {
  overRows(cpu, rows, cols, [=](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      for (int64_t c = 0; c < cols; c++) {
        x[r * stride + c] *= factor;
      }
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_soft_cap(lathe_cpu* cpu, float* x, int64_t stride, int64_t rows, int64_t cols, float cap) {
  overRows(cpu, rows, cols * 4, [=](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      cpu->kernels->soft_cap(x + r * stride, cols, cap);
    }
  });
  return LATHE_OK;
}
