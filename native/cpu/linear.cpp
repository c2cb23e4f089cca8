/* How a matrix is divided among threads: by rows of weights, so that no sum is ever split. */
#include <algorithm>
#include "context.h"

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

struct Part {
  const lathe_weight* weight;
  int64_t column; /* of out and bias */
};

struct Task {
  int part;
  int64_t row0, row1, token0, token1;
};

} // namespace

int32_t lathe_cpu_linear(lathe_cpu* cpu, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                         int64_t tokens, const lathe_weight* weight, const float* bias, int32_t add) {
  if (tokens == 0) {
    return LATHE_OK;
  }
  bool stacked = weight->kind == LATHE_STACKED;
  const lathe_weight* parts = stacked ? weight->parts : weight;
  int64_t count = stacked ? weight->part_count : 1;
  const Kernels& kernels = *cpu->kernels;
  if (!cpu->reserve(kernels.linear_scratch(weight->cols))) {
    return LATHE_NO_MEMORY;
  }
  int64_t work = 0;
  int64_t bytes = 0;
  for (int64_t i = 0; i < count; i++) {
    work += nanos(parts[i], tokens);
    bytes += bytesOf(parts[i]);
  }
  if (bytes <= kOwnCacheBytes && cpu->chain.fits(tokens) && (cpu->chain.goesOn(tokens) || work >= kWorthChainNanos)) {
    auto rows = [=](int64_t from, int64_t to, int thread) {
      for (int64_t i = 0, column = 0; i < count; i++) {
        cpu->kernels->linear(parts[i], 0, parts[i].rows, x + from * x_stride, x_stride, to - from,
                             out + from * out_stride + column, out_stride, bias ? bias + column : nullptr, add != 0,
                             cpu->scratch[size_t(thread)].floats(0));
        column += parts[i].rows;
      }
    };
    cpu->chain.add(cpu->pool, tokens, rows);
    return LATHE_OK;
  }
  cpu->chain.finish();
  int threads = cpu->pool.threads();
  if (threads == 1 || work < kWorthThreadsNanos) {
    for (int64_t i = 0, column = 0; i < count; i++) {
      kernels.linear(parts[i], 0, parts[i].rows, x, x_stride, tokens, out + column, out_stride,
                     bias ? bias + column : nullptr, add != 0, cpu->scratch[0].floats(0));
      column += parts[i].rows;
    }
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
          kernels.linear(parts[i], row0, row1, x, x_stride, tokens, out + column + row0, out_stride,
                         bias ? bias + column + row0 : nullptr, add != 0, cpu->scratch[size_t(thread)].floats(0));
        }
      }
    };
    lathe::parallel(cpu->pool, pieces, range);
    return LATHE_OK;
  }
  /* Some tasks a thread, so that one that is held up holds up little; none so small that claiming it shows. */
  int64_t wanted = std::min<int64_t>(threads * 8, std::max<int64_t>(threads, work / 10'000));
  std::vector<Task> tasks;
  for (int64_t i = 0; i < count; i++) {
    int64_t rows = parts[i].rows;
    int64_t share = std::max<int64_t>(1, wanted * nanos(parts[i], tokens) / work);
    int64_t step = std::max<int64_t>(16, ((rows + share - 1) / share + 15) / 16 * 16);
    int64_t pieces = (rows + step - 1) / step;
    /* Few rows and many tokens: the tokens are divided too. */
    int64_t tokenPieces = std::clamp<int64_t>(share / std::max<int64_t>(1, pieces), 1, (tokens + 47) / 48);
    int64_t tokenStep = ((tokens + tokenPieces - 1) / tokenPieces + 11) / 12 * 12;
    for (int64_t r = 0; r < rows; r += step) {
      for (int64_t t = 0; t < tokens; t += tokenStep) {
        tasks.push_back({int(i), r, std::min(rows, r + step), t, std::min(tokens, t + tokenStep)});
      }
    }
  }
  std::vector<int64_t> columns(static_cast<size_t>(count));
  for (int64_t i = 0, column = 0; i < count; i++) {
    columns[size_t(i)] = column;
    column += parts[i].rows;
  }
  auto body = [&](int64_t index, int thread) {
    const Task& task = tasks[size_t(index)];
    int64_t column = columns[size_t(task.part)] + task.row0;
    kernels.linear(parts[task.part], task.row0, task.row1, x + task.token0 * x_stride, x_stride,
                   task.token1 - task.token0, out + task.token0 * out_stride + column, out_stride,
                   bias ? bias + column : nullptr, add != 0, cpu->scratch[size_t(thread)].floats(0));
  };
  lathe::parallel(cpu->pool, int64_t(tasks.size()), body);
  return LATHE_OK;
}
