/* The C interface: checks what only the data can tell, divides work among threads, calls the chosen kernels. */
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include "context.h"

using lathe::AttentionItem;
using lathe::Kernels;
using lathe::Kv;

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

int32_t lathe_cpu_rotate_and_append(lathe_cpu* cpu, float* qkv, int64_t stride, int64_t tokens, const float* rotations,
                                    int64_t rotation_rows, int64_t rotation_stride, int32_t heads, int32_t kv_heads,
                                    int32_t head_dim, uint8_t* keys, uint8_t* values, int32_t kv_type, int64_t pages,
                                    int32_t page_size, const int32_t* positions, const int32_t* slots) {
  int64_t last = pages * page_size;
  int32_t status = cpu->chain.require([=] {
    for (int64_t t = 0; t < tokens; t++) {
      if (positions[t] < 0 || positions[t] >= rotation_rows) {
        return LATHE_BAD_POSITION;
      }
      if (slots[t] < 0 || slots[t] >= last) {
        return LATHE_BAD_SLOT;
      }
    }
    return LATHE_OK;
  });
  if (status != LATHE_OK) {
    return status;
  }
  cpu->chain.reads(positions, tokens);
  cpu->chain.reads(slots, tokens);
  int64_t width = int64_t(heads + 2 * kv_heads) * head_dim;
  int64_t bytes = bytesOfKv(kv_type);
  overRows(cpu, tokens, width, [=](int64_t from, int64_t to) {
    for (int64_t t = from; t < to; t++) {
      float* row = qkv + t * stride;
      const float* rotation = rotations + positions[t] * rotation_stride;
      cpu->kernels->rotate(row, heads + kv_heads, rotation, head_dim);
      int64_t page = slots[t] / page_size;
      int64_t line = slots[t] % page_size;
      for (int32_t h = 0; h < kv_heads; h++) {
        const float* key = row + int64_t(heads + h) * head_dim;
        const float* value = key + int64_t(kv_heads) * head_dim;
        int64_t at = ((page * kv_heads + h) * page_size + line) * head_dim;
        cpu->kernels->to_kv(keys + bytes * at, key, head_dim, Kv(kv_type));
        cpu->kernels->to_kv(values + bytes * at, value, head_dim, Kv(kv_type));
      }
    }
  });
  return LATHE_OK;
}

namespace {

/* The sequences of a batch that attention looks at, and the cache that they lie in. */
struct Sequences {
  int64_t tokens;
  int64_t count;
  const int32_t* query_starts;
  const int32_t* context_lengths;
  const int32_t* block_starts;
  const int32_t* blocks;
  int64_t block_count;
  int64_t pages;
  int32_t page_size;

  /* What their numbers say. */
  struct Seen {
    int32_t status;
    int64_t longest; /* context */
    int64_t scores;  /* of new tokens and keys */
  };

  Seen look() const {
    Seen seen{LATHE_OK, 0, 0};
    if (query_starts[0] != 0 || query_starts[count] != tokens || block_starts[0] < 0 ||
        block_starts[count] > block_count) {
      return {LATHE_BAD_BATCH, 0, 0};
    }
    for (int64_t s = 0; s < count; s++) {
      int64_t fresh = int64_t(query_starts[s + 1]) - query_starts[s];
      int64_t context = context_lengths[s];
      int64_t held = int64_t(block_starts[s + 1]) - block_starts[s];
      if (fresh < 0 || context < fresh || held < 0 || held * page_size < context) {
        return {LATHE_BAD_BATCH, 0, 0};
      }
      for (int64_t i = 0; i < held; i++) {
        int32_t page = blocks[block_starts[s] + i];
        if (page < 0 || page >= pages) {
          return {LATHE_BAD_BATCH, 0, 0};
        }
      }
      seen.longest = std::max(seen.longest, context);
      seen.scores += fresh * context;
    }
    return seen;
  }

  /* Single tokens over contexts of much the same length: rows are fair shares. */
  bool areRows(const Seen& seen) const {
    bool single = tokens == count && seen.longest * count <= seen.scores + seen.scores / 2 + 32 * count;
    for (int64_t s = 0; s < count && single; s++) {
      single = query_starts[s] == s;
    }
    return single;
  }
};

/* Scratch for contexts of that length; false where memory is short. */
bool reserveAttention(lathe_cpu* cpu, int64_t longest, int64_t group, int64_t head_dim, int64_t page_size) {
  AttentionItem worst{};
  worst.group = group;
  worst.head_dim = head_dim;
  worst.first = longest;
  worst.tokens = 1;
  worst.page_size = page_size;
  return cpu->reserve(cpu->kernels->attention_scratch(worst));
}

} // namespace

int32_t lathe_cpu_attention(lathe_cpu* cpu, float* out, int64_t out_stride, const float* qkv, int64_t stride,
                            int64_t tokens, int32_t heads, int32_t kv_heads, int32_t head_dim, float scale,
                            int32_t window, float soft_cap, const uint8_t* keys, const uint8_t* values, int32_t kv_type, int64_t pages, int32_t page_size,
                            int64_t sequences, const int32_t* query_starts, const int32_t* context_lengths,
                            const int32_t* block_starts, const int32_t* blocks, int64_t block_count) {
  Sequences batch{tokens, sequences, query_starts, context_lengths, block_starts, blocks, block_count, pages, page_size};
  Sequences::Seen seen = batch.look();
  if (seen.status != LATHE_OK) {
    return seen.status;
  }
  int64_t scores = seen.scores;
  const Kernels& kernels = *cpu->kernels;
  int64_t group = heads / kv_heads;
  int64_t page_stride = int64_t(kv_heads) * page_size * head_dim;
  auto item = [=](int64_t s, int32_t kv, int64_t from, int64_t to) {
    int64_t token = query_starts[s] + from;
    int64_t fresh = query_starts[s + 1] - query_starts[s];
    int64_t offset = int64_t(kv) * page_size * head_dim * bytesOfKv(kv_type);
    int64_t head = kv * group * head_dim;
    return AttentionItem{out + token * out_stride + head,
                         out_stride,
                         qkv + token * stride + head,
                         stride,
                         context_lengths[s] - fresh + from + 1,
                         to - from,
                         group,
                         head_dim,
                         scale,
                         keys + offset,
                         values + offset,
                         page_stride,
                         page_size,
                         blocks + block_starts[s],
                         window,
                         soft_cap};
  };
  if (!reserveAttention(cpu, seen.longest, group, head_dim, page_size)) {
    return LATHE_NO_MEMORY;
  }
  if (batch.areRows(seen) && cpu->chain.goesOn(tokens)) {
    int32_t status = cpu->chain.require([=] {
      Sequences::Seen now = batch.look();
      bool fits = now.status == LATHE_OK && batch.areRows(now) &&
                  reserveAttention(cpu, now.longest, group, head_dim, page_size);
      return fits ? LATHE_OK : LATHE_CHANGED;
    });
    if (status != LATHE_OK) {
      return status;
    }
    cpu->chain.reads(query_starts, sequences + 1);
    cpu->chain.reads(context_lengths, sequences);
    cpu->chain.reads(block_starts, sequences + 1);
    cpu->chain.reads(blocks, block_count);
    auto rows = [=](int64_t from, int64_t to, int thread) {
      float* scratch = cpu->scratch[size_t(thread)].floats(0);
      for (int64_t s = from; s < to; s++) {
        for (int32_t kv = 0; kv < kv_heads; kv++) {
          cpu->kernels->attention(item(s, kv, 0, 1), Kv(kv_type), scratch);
        }
      }
    };
    cpu->chain.add(cpu->pool, tokens, rows);
    return LATHE_OK;
  }
  cpu->chain.finish();
  /* Two multiply-adds an element of each key; by several threads where that is more than some 3 microseconds: a thread
   * that still spins after the layer before takes its share within a fraction of one. */
  constexpr int64_t kWorthThreads = 80'000;
  constexpr int64_t kTokensPerTask = 16;
  bool alone = cpu->pool.threads() == 1 || scores * heads * (head_dim + 16) < kWorthThreads;
  if (alone) {
    for (int64_t s = 0; s < sequences; s++) {
      for (int32_t kv = 0; kv < kv_heads; kv++) {
        int64_t fresh = query_starts[s + 1] - query_starts[s];
        for (int64_t from = 0; from < fresh; from += kTokensPerTask) {
          kernels.attention(item(s, kv, from, std::min(fresh, from + kTokensPerTask)), Kv(kv_type),
                            cpu->scratch[0].floats(0));
        }
      }
    }
    return LATHE_OK;
  }
  if (tokens == sequences) { /* decode: one token each, cut without a list of the pieces */
    int64_t pieces = sequences * kv_heads;
    int64_t tasks = std::min<int64_t>(pieces, cpu->pool.threads() * 2);
    auto body = [&](int64_t task, int thread) {
      for (int64_t i = pieces * task / tasks; i < pieces * (task + 1) / tasks; i++) {
        int64_t s = i / kv_heads;
        int64_t fresh = query_starts[s + 1] - query_starts[s];
        if (fresh > 0) {
          kernels.attention(item(s, int32_t(i % kv_heads), 0, fresh), Kv(kv_type),
                            cpu->scratch[size_t(thread)].floats(0));
        }
      }
    };
    lathe::parallel(cpu->pool, tasks, body);
    return LATHE_OK;
  }
  std::vector<AttentionItem> items;
  for (int64_t s = 0; s < sequences; s++) {
    int64_t fresh = query_starts[s + 1] - query_starts[s];
    for (int32_t kv = 0; kv < kv_heads; kv++) {
      for (int64_t from = 0; from < fresh; from += kTokensPerTask) {
        items.push_back(item(s, kv, from, std::min(fresh, from + kTokensPerTask)));
      }
    }
  }
  auto body = [&](int64_t index, int thread) {
    kernels.attention(items[size_t(index)], Kv(kv_type), cpu->scratch[size_t(thread)].floats(0));
  };
  lathe::parallel(cpu->pool, int64_t(items.size()), body);
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
