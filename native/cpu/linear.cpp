/* How a matrix is divided among threads: by rows of weights, so that no sum is ever split. */
#include <algorithm>
#include "context.h"

using lathe::Integers;
using lathe::Kernels;

namespace {

/* Handing work to a thread that still spins costs a fraction of a microsecond, waking one that sleeps some: below this
 * much work one thread is faster. The caller, who starts at once, gets that much more. */
constexpr int64_t kWorthThreadsNanos = 700;
constexpr int64_t kTaskNanos = 2'500;
constexpr int64_t kHandOverNanos = 150;
constexpr int64_t kSmallNanos = 40'000;
constexpr int64_t kRowsOfATile = LATHE_PACKED_ROWS;

/* A few tokens with weights that each thread's own cache can hold: they are chained, and every thread reads all. */
constexpr int64_t kOwnCacheBytes = 1 << 19;
constexpr int64_t kWorthChainNanos = 400;

/* What one thread does in a nanosecond: bytes that a cache holds from call to call, bytes that it does not, and
 * multiply-adds. Rough, and no more is needed: products of half a microsecond are about even either way. */
constexpr int64_t kCachedBytesPerNano = 64;
constexpr int64_t kMemoryBytesPerNano = 8;
constexpr int64_t kMultiplyAddsPerNano = 64;
constexpr int64_t kCacheBytes = 1 << 20;

int64_t bytesPerColumn8(const lathe_weight& w) { /* of a row, in eighths of a byte per column */
  switch (w.kind) {
    case LATHE_F32: return 32;
    case LATHE_BF16:
    case LATHE_F16: return 16;
    case LATHE_INT8: return 8;
    case LATHE_BITMAP_F32: return 17;
    case LATHE_BITMAP_INT8: return 5;
    default: return 9;
  }
}

int64_t bytesOf(const lathe_weight& w) { return w.rows * w.cols * bytesPerColumn8(w) / 8; }

int64_t nanos(const lathe_weight& w, int64_t tokens) {
  int64_t bytes = bytesOf(w);
  int64_t rate = bytes <= kCacheBytes ? kCachedBytesPerNano : kMemoryBytesPerNano;
  return std::max(bytes / rate, w.rows * w.cols * tokens / kMultiplyAddsPerNano);
}

int64_t widthOf(int64_t cols) { return (cols + 3) / 4 * 4; }

/* The integers that packed weights want x to become; none where none of them is packed. Those of a stack agree. */
struct Wanted {
  int64_t block = 0;
  int64_t segment = 0;
  int64_t bits = 0;

  Wanted(const lathe_weight* parts, int64_t count) {
    for (int64_t i = 0; i < count && bits == 0; i++) {
      const lathe_weight& w = parts[i];
      if (w.packed && w.activation_bits == 8) {
        bits = 8;
        block = segment = widthOf(w.cols);
      } else if (w.packed) {
        bits = 16;
        block = lathe::kIntegerBlock;
        segment = w.groups > 1 ? std::min(w.group_size, block) : block;
      }
    }
  }

  explicit operator bool() const { return bits != 0; }

  int64_t segments(int64_t cols) const { return (cols + segment - 1) / segment; }

  /* Floats of memory that they need. */
  int64_t floats(int64_t tokens, int64_t cols) const {
    return bits == 0 ? 0 : tokens * (widthOf(cols) / 2 + 2 * segments(cols));
  }

  Integers in(float* memory, int64_t tokens, int64_t cols) const {
    int64_t width = widthOf(cols);
    float* scales = memory + tokens * width / 2;
    float* sums = scales + tokens * segments(cols);
    return {tokens, width, block, segment, bits, reinterpret_cast<int16_t*>(memory), scales,
            reinterpret_cast<int32_t*>(sums)};
  }
};

/* A product as it was asked for. */
struct Product {
  const lathe_weight* parts;
  int64_t count;
  const float* x;
  int64_t x_stride;
  float* out;
  int64_t out_stride;
  const float* bias;
  bool add;

  /* Some rows of one part for some tokens. integers: of all tokens from `first` on, if any part is packed. */
  void multiply(const Kernels& kernels, int64_t part, int64_t column, int64_t row0, int64_t row1, int64_t token0,
                int64_t token1, const Integers& integers, int64_t first, float* scratch) const {
    const lathe_weight& w = parts[part];
    const float* shift = bias ? bias + column + row0 : nullptr;
    float* to = out + column + row0;
    if (w.packed) {
      kernels.integer_linear(w, row0, row1, integers, token0 - first, token1 - first, to + first * out_stride,
                             out_stride, shift, add);
    } else {
      kernels.linear(w, row0, row1, x + token0 * x_stride, x_stride, token1 - token0, to + token0 * out_stride,
                     out_stride, shift, add, scratch);
    }
  }

  /* All rows for some tokens. */
  void multiplyAll(const Kernels& kernels, int64_t token0, int64_t token1, const Integers& integers, int64_t first,
                   float* scratch) const {
    for (int64_t i = 0, column = 0; i < count; column += parts[i].rows, i++) {
      multiply(kernels, i, column, 0, parts[i].rows, token0, token1, integers, first, scratch);
    }
  }
};

struct Task {
  int64_t part, column, row0, row1, token0, token1;
};

} // namespace

int32_t lathe_cpu_linear(lathe_cpu* cpu, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                         int64_t tokens, const lathe_weight* weight, const float* bias, int32_t add) {
  if (tokens == 0) {
    return LATHE_OK;
  }
  bool stacked = weight->kind == LATHE_STACKED;
  Product product{stacked ? weight->parts : weight, stacked ? weight->part_count : 1, x, x_stride, out, out_stride,
                  bias, add != 0};
  const lathe_weight* parts = product.parts;
  int64_t count = product.count;
  const Kernels& kernels = *cpu->kernels;
  int64_t cols = weight->cols;
  Wanted wanted(parts, count);
  int64_t work = 0;
  int64_t bytes = 0;
  for (int64_t i = 0; i < count; i++) {
    work += nanos(parts[i], tokens);
    bytes += bytesOf(parts[i]);
  }
  int64_t own = (kernels.linear_scratch(cols) + 15) / 16 * 16;
  if (bytes <= kOwnCacheBytes && cpu->chain.fits(tokens) && (cpu->chain.goesOn(tokens) || work >= kWorthChainNanos)) {
    if (!cpu->reserve(own + wanted.floats(tokens, cols))) {
      return LATHE_NO_MEMORY;
    }
    auto rows = [=](int64_t from, int64_t to, int thread) {
      float* scratch = cpu->scratch[size_t(thread)].floats(0);
      Integers integers{};
      if (wanted) {
        integers = wanted.in(scratch + own, to - from, cols);
        cpu->kernels->to_integers(product.x + from * product.x_stride, product.x_stride, cols, integers, 0, to - from);
      }
      product.multiplyAll(*cpu->kernels, from, to, integers, from, scratch);
    };
    cpu->chain.add(cpu->pool, tokens, rows);
    return LATHE_OK;
  }
  cpu->chain.finish();
  int threads = cpu->pool.threads();
  Integers integers{};
  if (wanted) {
    float* memory = cpu->integers.floats(wanted.floats(tokens, cols));
    if (!memory) {
      return LATHE_NO_MEMORY;
    }
    integers = wanted.in(memory, tokens, cols);
    constexpr int64_t kWorthThreads = 1 << 16;
    if (threads == 1 || tokens * cols < kWorthThreads) {
      kernels.to_integers(x, x_stride, cols, integers, 0, tokens);
    } else {
      int64_t pieces = std::min<int64_t>(tokens, threads * 4);
      auto piece = [&](int64_t index, int) {
        kernels.to_integers(x, x_stride, cols, integers, tokens * index / pieces, tokens * (index + 1) / pieces);
      };
      lathe::parallel(cpu->pool, pieces, piece);
    }
  }
  if (!cpu->reserve(own)) {
    return LATHE_NO_MEMORY;
  }
  if (threads == 1 || work < kWorthThreadsNanos) {
    product.multiplyAll(kernels, 0, tokens, integers, 0, cpu->scratch[0].floats(0));
    return LATHE_OK;
  }
  if (work < kSmallNanos) {
    /* A few ranges of rows, across the parts: nothing is allocated, nothing is planned. */
    int64_t units = (weight->rows + kRowsOfATile - 1) / kRowsOfATile;
    int64_t pieces = std::min<int64_t>(units, std::clamp<int64_t>(work / kTaskNanos, threads, threads * 4));
    int64_t ahead = units * kHandOverNanos / work;
    auto bound = [&](int64_t index) {
      int64_t unit = index == 0 ? 0 : ahead + (units - ahead) * index / pieces;
      return std::min(weight->rows, unit * kRowsOfATile);
    };
    auto range = [&](int64_t index, int thread) {
      int64_t from = bound(index);
      int64_t to = bound(index + 1);
      for (int64_t i = 0, column = 0; i < count && column < to; column += parts[i].rows, i++) {
        int64_t row0 = std::max<int64_t>(0, from - column);
        int64_t row1 = std::min(parts[i].rows, to - column);
        if (row0 < row1) {
          product.multiply(kernels, i, column, row0, row1, 0, tokens, integers, 0,
                           cpu->scratch[size_t(thread)].floats(0));
        }
      }
    };
    lathe::parallel(cpu->pool, pieces, range);
    return LATHE_OK;
  }
  /* Some tasks a thread, so that one that is held up holds up little; none so small that claiming it shows. */
  int64_t wantedTasks = std::min<int64_t>(threads * 8, std::max<int64_t>(threads, work / 10'000));
  std::vector<Task> tasks;
  for (int64_t i = 0, column = 0; i < count; column += parts[i].rows, i++) {
    int64_t rows = parts[i].rows;
    int64_t share = std::max<int64_t>(1, wantedTasks * nanos(parts[i], tokens) / work);
    int64_t step = std::max<int64_t>(16, ((rows + share - 1) / share + 15) / 16 * 16);
    int64_t pieces = (rows + step - 1) / step;
    /* Few rows and many tokens: the tokens are divided too. */
    int64_t tokenPieces = std::clamp<int64_t>(share / std::max<int64_t>(1, pieces), 1, (tokens + 47) / 48);
    int64_t tokenStep = ((tokens + tokenPieces - 1) / tokenPieces + 11) / 12 * 12;
    for (int64_t r = 0; r < rows; r += step) {
      for (int64_t t = 0; t < tokens; t += tokenStep) {
        tasks.push_back({i, column, r, std::min(rows, r + step), t, std::min(tokens, t + tokenStep)});
      }
    }
  }
  auto body = [&](int64_t index, int thread) {
    const Task& task = tasks[size_t(index)];
    product.multiply(kernels, task.part, task.column, task.row0, task.row1, task.token0, task.token1, integers, 0,
                     cpu->scratch[size_t(thread)].floats(0));
  };
  lathe::parallel(cpu->pool, int64_t(tasks.size()), body);
  return LATHE_OK;
}
