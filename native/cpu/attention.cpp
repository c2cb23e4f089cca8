/* Keys, values and attention of the C interface: what batches say is checked, and work is divided among threads. */
#include "context.h"

using lathe::AttentionItem;
using lathe::Kernels;
using lathe::Kv;

namespace {

/* Keys or values of one layer: [pages, kv_heads] of page_size rows each. */
struct Pages {
  uint8_t* base;
  Kv type;
  int64_t kv_heads;
  int64_t page_size;
  int64_t head_dim;

  int64_t headBytes() const { return page_size * lathe::kvRowBytes(type, head_dim); }
  int64_t pageBytes() const { return kv_heads * headBytes(); }
  /* All heads of a row of a page. */
  void write(const Kernels& kernels, lathe::KvPart part, int64_t page, int64_t row, const float* x) const {
    uint8_t* to = base + page * pageBytes();
    for (int64_t head = 0; head < kv_heads; head++, to += headBytes(), x += head_dim) {
      kernels.write_kv(to, page_size, row, x, head_dim, type, part);
    }
  }
};

} // namespace

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
  Pages key_pages{keys, Kv(kv_type), kv_heads, page_size, head_dim};
  Pages value_pages{values, Kv(kv_type), kv_heads, page_size, head_dim};
  overRows(cpu, tokens, width, [=](int64_t from, int64_t to) {
    for (int64_t t = from; t < to; t++) {
      float* row = qkv + t * stride;
      const float* rotation = rotations + positions[t] * rotation_stride;
      cpu->kernels->rotate(row, heads + kv_heads, rotation, head_dim);
      int64_t page = slots[t] / page_size;
      int64_t line = slots[t] % page_size;
      const float* key = row + int64_t(heads) * head_dim;
      key_pages.write(*cpu->kernels, lathe::KvPart::KEYS, page, line, key);
      value_pages.write(*cpu->kernels, lathe::KvPart::VALUES, page, line, key + int64_t(kv_heads) * head_dim);
    }
  });
  return LATHE_OK;
}

int32_t lathe_cpu_append(lathe_cpu* cpu, const float* qkv, int64_t stride, int64_t tokens, int32_t heads,
                         int32_t kv_heads, int32_t head_dim, uint8_t* keys, uint8_t* values, int32_t kv_type,
                         int64_t pages, int32_t page_size, const int32_t* slots) {
  int64_t last = pages * page_size;
  int32_t status = cpu->chain.require([=] {
    for (int64_t t = 0; t < tokens; t++) {
      if (slots[t] < 0 || slots[t] >= last) {
        return LATHE_BAD_SLOT;
      }
    }
    return LATHE_OK;
  });
  if (status != LATHE_OK) {
    return status;
  }
  cpu->chain.reads(slots, tokens);
  Pages key_pages{keys, Kv(kv_type), kv_heads, page_size, head_dim};
  Pages value_pages{values, Kv(kv_type), kv_heads, page_size, head_dim};
  overRows(cpu, tokens, int64_t(kv_heads) * head_dim, [=](int64_t from, int64_t to) {
    for (int64_t t = from; t < to; t++) {
      int64_t page = slots[t] / page_size;
      int64_t line = slots[t] % page_size;
      const float* key = qkv + t * stride + int64_t(heads) * head_dim;
      key_pages.write(*cpu->kernels, lathe::KvPart::KEYS, page, line, key);
      value_pages.write(*cpu->kernels, lathe::KvPart::VALUES, page, line, key + int64_t(kv_heads) * head_dim);
    }
  });
  return LATHE_OK;
}

namespace {

/* New tokens of a sequence that are one piece of work. */
constexpr int64_t kTokensPerTask = 16;
/* Threads that a chain is divided among by sequences, at most. */
constexpr int kMostDivided = 64;

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

  /* Where the rows of each thread begin, and the last one's end, so that none has a part of a sequence; false where one
   * had to have much more than its share. */
  bool divide(int threads, int64_t* bounds) const {
    int64_t s = 0;
    int64_t most = 0;
    bounds[0] = 0;
    for (int thread = 1; thread <= threads; thread++) {
      int64_t wanted = tokens * thread / threads;
      while (s < count && query_starts[s + 1] <= wanted) {
        s++;
      }
      int64_t below = query_starts[s];
      int64_t above = s < count ? query_starts[s + 1] : below;
      bool up = s < count && above - wanted < wanted - below;
      s += up;
      bounds[thread] = std::max(bounds[thread - 1], up ? above : below);
      most = std::max(most, bounds[thread] - bounds[thread - 1]);
    }
    return 3 * most * threads <= 4 * tokens;
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
  int64_t head_bytes = page_size * lathe::kvRowBytes(Kv(kv_type), head_dim);
  auto item = [=](int64_t s, int32_t kv, int64_t from, int64_t to) {
    int64_t token = query_starts[s] + from;
    int64_t fresh = query_starts[s + 1] - query_starts[s];
    int64_t offset = kv * head_bytes;
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
                         kv_heads * head_bytes,
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
  if (tokens > sequences && cpu->chain.goesOn(tokens)) { /* prompts: each thread those that begin in its rows */
    int64_t bounds[kMostDivided + 1];
    if (cpu->chain.threads() <= kMostDivided && batch.divide(cpu->chain.threads(), bounds)) {
      cpu->chain.divide(bounds);
      auto rows = [=](int64_t from, int64_t to, int thread) {
        float* scratch = cpu->scratch[size_t(thread)].floats(0);
        for (int64_t s = 0; s < sequences; s++) {
          int64_t fresh = query_starts[s + 1] - query_starts[s];
          if (query_starts[s] < from || query_starts[s] >= to) {
            continue;
          }
          for (int32_t kv = 0; kv < kv_heads; kv++) {
            for (int64_t first = 0; first < fresh; first += kTokensPerTask) {
              cpu->kernels->attention(item(s, kv, first, std::min(fresh, first + kTokensPerTask)), Kv(kv_type), scratch);
            }
          }
        }
      };
      cpu->chain.add(cpu->pool, tokens, rows);
      return LATHE_OK;
    }
  }
  cpu->chain.finish();
  /* Two multiply-adds an element of each key; by several threads where that is more than some 3 microseconds: a thread
   * that still spins after the layer before takes its share within a fraction of one. */
  constexpr int64_t kWorthThreads = 80'000;
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

