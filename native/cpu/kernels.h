/* What each instruction set provides, as one table. No function here starts threads or allocates. */
#pragma once
#include "lathe_cpu.h"

#define INLINE inline __attribute__((always_inline))

typedef float four __attribute__((vector_size(16)));

namespace lathe {

/* What keys and values are kept in; the numbers are lathe_kv's. */
enum class Kv : int32_t { F32 = LATHE_KV_F32, F16 = LATHE_KV_F16, BF16 = LATHE_KV_BF16, INT8 = LATHE_KV_INT8 };
enum class KvPart { KEYS, VALUES };

/* Bytes of a key, or a value, of one token and head: with its scale, where it has one. */
constexpr int64_t kvRowBytes(Kv type, int64_t head_dim) {
  return type == Kv::INT8 ? head_dim + 4 : head_dim * (type == Kv::F32 ? 4 : 2);
}

/* One sequence's new tokens under one key/value head. */
struct AttentionItem {
  float* out; /* of the first new token, at the first query head of the group */
  int64_t out_stride;
  const float* query;
  int64_t query_stride;
  int64_t first;  /* keys that the first new token sees */
  int64_t tokens; /* new tokens, each sees one key more */
  int64_t group;  /* query heads that share the key/value head */
  int64_t head_dim;
  float scale;
  const uint8_t* keys; /* of page 0, at this key/value head */
  const uint8_t* values;
  int64_t page_stride; /* bytes from a page to the next */
  int64_t page_size;
  const int32_t* blocks;
  int64_t window; /* a token sees so many keys, its own included */
  float soft_cap; /* scores become soft_cap * tanh(score / soft_cap); 0: as they are */
};

/* Tokens of a tile of Integers, and columns that share a scale where they have 16 bits. */
constexpr int kIntegerTokens = 4;
constexpr int64_t kIntegerBlock = 128;

/* Activations as integers with scales: int8_impl.h. */
struct Integers {
  int64_t tokens;
  int64_t width;   /* columns of a token, filled up to a multiple of 4 */
  int64_t block;   /* columns that share a scale: kIntegerBlock of 16 bits, all of 8 */
  int64_t segment; /* columns that are summed in integers: a block, or fewer that divide it */
  int64_t bits;    /* 16 or 8 */
  /* Tiles of kIntegerTokens tokens, the last of what is left: [width / 4][tokens of the tile][4] int16; or int8, of 8
   * bits where the instruction set multiplies bytes. */
  int16_t* values;
  float* scales; /* [segments, tokens] */
  int32_t* sums; /* [segments, tokens] of the integers of a segment, negated */
};

struct Kernels {
  int32_t isa;
  /* Rows row0 to row1 of a matrix that is not stacked. out is at column row0's; bias too, or null. scratch holds
   * linear_scratch(cols) floats, aligned to 64 bytes. */
  void (*linear)(const lathe_weight&, int64_t row0, int64_t row1, const float* x, int64_t x_stride, int64_t tokens,
                 float* out, int64_t out_stride, const float* bias, bool add, float* scratch);
  int64_t (*linear_scratch)(int64_t cols);
  /* Tokens token0 to token1 of x; and rows row0 to row1 of a packed matrix by them. row0 is a multiple of
   * LATHE_PACKED_ROWS, token0 of kIntegerTokens. out is at column row0's and token 0; bias at row0's. */
  void (*to_integers)(const float* x, int64_t x_stride, int64_t cols, const Integers&, int64_t token0, int64_t token1);
  void (*integer_linear)(const lathe_weight&, int64_t row0, int64_t row1, const Integers& x, int64_t token0,
                         int64_t token1, float* out, int64_t out_stride, const float* bias, bool add);
  void (*dequantize)(const lathe_weight&, int64_t row, float* out);
  void (*rms_norm)(float* out, const float* x, const float* weight, int64_t cols, float epsilon);
  void (*rotate)(float* head, int64_t heads, const float* rotation, int64_t head_dim);
  /* page is a head's. */
  void (*write_kv)(uint8_t* page, int64_t page_size, int64_t row, const float* x, int64_t head_dim, Kv type, KvPart);
  /* scratch holds attention_scratch floats, aligned to 64 bytes. */
  void (*attention)(const AttentionItem&, Kv type, float* scratch);
  int64_t (*attention_scratch)(const AttentionItem&);
  void (*gate)(float* out, const float* gate, const float* up, int64_t n, int32_t activation);
  int32_t (*argmax)(const float* x, int64_t n);
  float (*read)(const float* x, int64_t n);
  /* Runs `rounds` rounds of fused multiply-adds and returns how many floating-point operations those were. */
  int64_t (*multiply_adds)(int64_t rounds, float* sink);
  /* The same of 16-bit integers that are summed in 32. */
  int64_t (*integer_multiply_adds)(int64_t rounds, float* sink);
  /* And of 8-bit integers, or null. */
  int64_t (*byte_multiply_adds)(int64_t rounds, float* sink);
  void (*layer_norm)(float* out, const float* x, const float* weight, const float* bias, int64_t cols, float epsilon);
  void (*add_rms_norm)(float* out, const float* x, const float* weight, int64_t cols, float epsilon);
  void (*activate)(float* out, const float* x, int64_t n, int32_t activation);
  void (*soft_cap)(float* x, int64_t n, float cap);
};

extern const Kernels kGeneric;
extern const Kernels kAvx2;
extern const Kernels kAvx512;
extern const Kernels kAvx512Vnni;
extern const Kernels kAvx512Bf16;

} // namespace lathe
