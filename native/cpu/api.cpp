/* The C interface: checks what only the data can tell, divides work among threads, calls the chosen kernels. */
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include "context.h"

using lathe::Kernels;

Scratch::~Scratch() { std::free(memory_); }

float* Scratch::floats(int64_t count) {
  int64_t bytes = (count * 4 + 63) / 64 * 64;
  if (bytes > bytes_) {
    std::free(memory_);
    memory_ = std::aligned_alloc(64, size_t(bytes));
    bytes_ = memory_ ? bytes : 0;
  }
  return static_cast<float*>(memory_);
}

bool lathe_cpu::reserve(int64_t floats) {
  if (floats <= reserved_) {
    return true;
  }
  chain.settle(); /* may use what is about to move */
  for (int thread = 0; thread < pool.threads(); thread++) {
    if (!scratch[size_t(thread)].floats(floats)) {
      return false;
    }
  }
  reserved_ = floats;
  return true;
}

int64_t lathe_cpu_features(void) {
  int64_t features = lathe::kGeneric.isa;
#ifdef LATHE_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
      __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("f16c")) {
    features |= lathe::kAvx2.isa;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      features |= lathe::kAvx512.isa;
      if (__builtin_cpu_supports("avx512vnni")) {
        features |= lathe::kAvx512Vnni.isa;
        features |= __builtin_cpu_supports("avx512bf16") ? lathe::kAvx512Bf16.isa : 0;
      }
    }
  }
  features |= __builtin_cpu_supports("avx512vnni") ? 256 : 0;
  features |= __builtin_cpu_supports("avx512bf16") ? 512 : 0;
#endif
  return features;
}

namespace {

/* From the plainest to the best. */
const struct {
  const char* name;
  const Kernels* kernels;
} kSets[] = {
    {"generic", &lathe::kGeneric},
#ifdef LATHE_X86
    {"avx2", &lathe::kAvx2},
    {"avx512", &lathe::kAvx512},
    {"avx512vnni", &lathe::kAvx512Vnni},
    {"avx512bf16", &lathe::kAvx512Bf16},
#endif
};

/* isa: one of the bits, or 0 for what LATHE_CPU_ISA names, or for the best. Null where that is not to be had. */
const Kernels* choose(int32_t isa) {
  const char* variable = std::getenv("LATHE_CPU_ISA");
  std::string_view named = isa == 0 && variable ? variable : "";
  int64_t features = lathe_cpu_features();
  const Kernels* chosen = nullptr;
  for (const auto& set : kSets) {
    bool wanted = isa != 0 ? set.kernels->isa == isa : named.empty() || set.name == named;
    if (wanted && features & set.kernels->isa) {
      chosen = set.kernels;
    }
  }
  return chosen;
}

} // namespace

lathe_cpu* lathe_cpu_open(int32_t threads, int32_t isa) {
  const Kernels* kernels = choose(isa);
  if (!kernels || threads < 1) {
    return nullptr;
  }
  try {
    return new lathe_cpu(kernels, threads);
  } catch (const std::exception&) { /* no thread or no memory to be had: the caller reports the null */
    return nullptr;
  }
}

void lathe_cpu_close(lathe_cpu* cpu) {
  cpu->chain.finish();
  delete cpu;
}

int32_t lathe_cpu_isa(const lathe_cpu* cpu) { return cpu->kernels->isa; }

int32_t lathe_cpu_finish(lathe_cpu* cpu) {
  cpu->chain.finish();
  return LATHE_OK;
}

int32_t lathe_cpu_record(lathe_cpu* cpu) {
  try {
    cpu->recording = std::make_unique<lathe_recording>();
  } catch (const std::bad_alloc&) {
    return LATHE_NO_MEMORY;
  }
  cpu->chain.record(cpu->recording.get());
  return LATHE_OK;
}

lathe_recording* lathe_cpu_recorded(lathe_cpu* cpu) {
  cpu->chain.record(nullptr);
  std::unique_ptr<lathe_recording> recording = std::move(cpu->recording);
  return recording->whole && !recording->operations.empty() ? recording.release() : nullptr;
}

void lathe_cpu_forget(lathe_cpu* cpu, lathe_recording* recording) {
  cpu->chain.settle();
  delete recording;
}

int32_t lathe_cpu_replay(lathe_cpu* cpu, const lathe_recording* recording) {
  for (const lathe::Condition& condition : recording->conditions) {
    if (condition.holds(condition.closure) != LATHE_OK) {
      return LATHE_CHANGED;
    }
  }
  cpu->chain.add(cpu->pool, recording->rows, [recording](int64_t from, int64_t to, int thread) {
    for (const lathe::Numbers& numbers : recording->numbers) {
      for (int64_t at = 0; thread != 0 && at < numbers.bytes; at += 64) {
        __builtin_prefetch(numbers.begin + at);
      }
    }
    for (const lathe::Operation& operation : recording->operations) {
      operation.run(operation.closure, from, to, thread);
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_embed(lathe_cpu* cpu, float* out, int64_t out_stride, const lathe_weight* table,
                        const int32_t* tokens, int64_t count) {
  int32_t status = cpu->chain.require([=] {
    for (int64_t i = 0; i < count; i++) {
      if (tokens[i] < 0 || tokens[i] >= table->rows) {
        return LATHE_BAD_TOKEN;
      }
    }
    return LATHE_OK;
  });
  if (status != LATHE_OK) {
    return status;
  }
  auto rows = [=](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
      const lathe_weight* part = table;
      int64_t row = tokens[i];
      if (table->kind == LATHE_STACKED) {
        for (part = table->parts; row >= part->rows; part++) {
          row -= part->rows;
        }
      }
      cpu->kernels->dequantize(*part, row, out + i * out_stride);
    }
  };
  /* A step begins here. If it is a large model's after all, one wait is lost. */
  constexpr int64_t kSmallElements = 1 << 14;
  cpu->chain.reads(tokens, count);
  if (cpu->chain.fits(count) && count * table->cols <= kSmallElements) {
    cpu->chain.add(cpu->pool, count, [rows](int64_t from, int64_t to, int) { rows(from, to); });
  } else {
    overRows(cpu, count, table->cols, rows);
  }
  return LATHE_OK;
}

int32_t lathe_cpu_rms_norm(lathe_cpu* cpu, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                           const float* weight, int64_t rows, int64_t cols, float epsilon) {
  overRows(cpu, rows, cols, [=](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      cpu->kernels->rms_norm(out + r * out_stride, x + r * x_stride, weight, cols, epsilon);
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_gate(lathe_cpu* cpu, float* out, int64_t out_stride, const float* gate_up, int64_t stride,
                       int64_t rows, int64_t cols, int32_t activation) {
  overRows(cpu, rows, cols * 4, [=](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      cpu->kernels->gate(out + r * out_stride, gate_up + r * stride, gate_up + r * stride + cols, cols, activation);
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_gather_rows(lathe_cpu* cpu, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                              int64_t x_rows, int64_t cols, const int32_t* rows, int64_t count) {
  bool own = true; /* each row is taken from its own place */
  for (int64_t i = 0; i < count; i++) {
    if (rows[i] < 0 || rows[i] >= x_rows) {
      return LATHE_BAD_ROW;
    }
    own &= rows[i] == i;
  }
  if (!own) {
    cpu->chain.finish();
  }
  int32_t status = cpu->chain.require([=] {
    for (int64_t i = 0; i < count && own; i++) {
      if (rows[i] != i) {
        return LATHE_CHANGED;
      }
    }
    return LATHE_OK;
  });
  if (status != LATHE_OK) {
    return status;
  }
  cpu->chain.reads(rows, count);
  overRows(cpu, count, cols, [=](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
      std::memcpy(out + i * out_stride, x + rows[i] * x_stride, size_t(cols) * 4);
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_argmax(lathe_cpu* cpu, int32_t* out, const float* x, int64_t x_stride, int64_t rows, int64_t cols) {
  overRows(cpu, rows, cols, [=](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      out[r] = cpu->kernels->argmax(x + r * x_stride, cols);
    }
  });
  return LATHE_OK;
}
