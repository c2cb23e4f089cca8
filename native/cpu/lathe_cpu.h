/* The C interface of the CPU kernels. Pointers need no alignment unless they say so. Sizes and strides count elements.
 *
 * Every function that returns int32_t returns LATHE_OK or the reason why it did nothing at all.
 * A context is used by one thread at a time.
 */
#pragma once
#include <stdint.h>

#define LATHE_API extern "C" __attribute__((visibility("default")))

enum lathe_status {
  LATHE_OK = 0,
  LATHE_NO_MEMORY = 1,
  LATHE_BAD_TOKEN = 2,    /* a token outside the vocabulary */
  LATHE_BAD_ROW = 3,      /* a row outside the matrix */
  LATHE_BAD_POSITION = 4, /* a position outside the table of rotations */
  LATHE_BAD_SLOT = 5,     /* a slot outside the cache */
  LATHE_BAD_BATCH = 6,    /* starts that do not ascend, a context shorter than its new tokens, a page outside the cache */
  LATHE_CHANGED = 7       /* a step that was recorded can't be replayed with these numbers */
};

enum lathe_kind {
  LATHE_F32 = 0,
  LATHE_BF16 = 1,
  LATHE_F16 = 2,
  LATHE_INT8 = 3,        /* (value - zero) * scale */
  LATHE_BITMAP_F32 = 4,  /* kept values only, one bit a weight says which */
  LATHE_BITMAP_BF16 = 5,
  LATHE_BITMAP_F16 = 6,
  LATHE_BITMAP_INT8 = 7,
  LATHE_STACKED = 8 /* matrices one below the other */
};

/* Rows of a block of packed weights. */
enum { LATHE_PACKED_ROWS = 16 };

/* What keys and values are kept in. */
enum lathe_kv { LATHE_KV_F32 = 0, LATHE_KV_F16 = 1, LATHE_KV_BF16 = 2, LATHE_KV_INT8 = 3 };

enum lathe_scale { LATHE_SCALE_NONE = 0, LATHE_SCALE_F32 = 1, LATHE_SCALE_BF16 = 2 };

/* A matrix [rows, cols] as it lies in memory. All members are 8 bytes: Java writes them one after another. */
struct lathe_weight {
  int64_t kind;
  int64_t rows;
  int64_t cols;
  const uint8_t* values; /* [rows, cols] rows value_stride apart, or the kept ones one after another */
  int64_t value_stride;
  const uint8_t* scales; /* [rows, groups] of scale_type */
  int64_t scale_type;
  int64_t groups;
  int64_t group_size;
  const uint8_t* zeros;   /* [rows, groups] int8, or null */
  const uint8_t* bitmap;  /* [rows, ceil(cols / 8)], least significant bit first */
  int64_t bitmap_stride;  /* bytes */
  const uint8_t* offsets; /* [rows + 1] int64: where each row's kept values start */
  const lathe_weight* parts;
  int64_t part_count;
  /* Of INT8: lathe_cpu_pack's copy, which is multiplied then; or null. */
  const uint8_t* packed;
  const float* packed_scales;  /* [groups, rows filled up to a multiple of 16] */
  const int32_t* packed_zeros; /* the same, 128 + zero; null without zeros */
  int64_t activation_bits;     /* 8: packed, multiplied by x in so many bits; 0: by x as exactly as the kernels can */
};

struct lathe_cpu;

/* The instruction sets that this machine runs, as bits: 1 generic, 2 AVX2 + FMA + F16C, 4 AVX-512 (F, BW, DQ, VL), 8
 * AVX-512 with VNNI, 16 that with BF16. Above them what the processor has besides: 256 VNNI, 512 BF16. */
LATHE_API int64_t lathe_cpu_features(void);

/* threads >= 1, the caller's included. isa: 0 for the best (or what the environment's LATHE_CPU_ISA names: generic, avx2,
 * avx512, avx512vnni, avx512bf16), else one of the bits above. Null where that is not to be had. */
LATHE_API lathe_cpu* lathe_cpu_open(int32_t threads, int32_t isa);
LATHE_API void lathe_cpu_close(lathe_cpu*);
/* The bit of the instruction set that was chosen. */
LATHE_API int32_t lathe_cpu_isa(const lathe_cpu*);

/* Results may be looked at, and memory be reused, when this has returned: an operation may return before its work is
 * done. */
LATHE_API int32_t lathe_cpu_finish(lathe_cpu*);

/* A step of a decoder that is repeated: its operations, recorded while they run, can be run again with one call and one
 * hand-over to each thread. They use the same memory and look anew at the numbers in it. */
struct lathe_recording;
/* From now on operations are recorded, too. */
LATHE_API int32_t lathe_cpu_record(lathe_cpu*);
/* Ends that. Null where not every operation was one of a chain (chain.h). */
LATHE_API lathe_recording* lathe_cpu_recorded(lathe_cpu*);
/* LATHE_CHANGED, and nothing is done, where the numbers in memory (tokens, positions, slots, the batch) are not valid or
 * would be handled in another way: the operations one by one say which. */
LATHE_API int32_t lathe_cpu_replay(lathe_cpu*, const lathe_recording*);
LATHE_API void lathe_cpu_forget(lathe_cpu*, lathe_recording*);

/* Measured, all threads together: bytes read per second from a buffer much larger than the caches, and F32 fused
 * multiply-adds from registers, counted as two operations. Best of `repeats`; negative where memory is short. */
LATHE_API double lathe_cpu_measure_bandwidth(lathe_cpu*, int64_t buffer_bytes, int32_t repeats);
LATHE_API double lathe_cpu_measure_flops(lathe_cpu*, int32_t repeats);
/* The same of 16-bit integers that are summed in 32: what packed INT8 matrices are multiplied with. */
LATHE_API double lathe_cpu_measure_integer_ops(lathe_cpu*, int32_t repeats);
/* And of 8-bit integers; negative where the instruction set doesn't multiply them. */
LATHE_API double lathe_cpu_measure_byte_ops(lathe_cpu*, int32_t repeats);
/* Nanoseconds until a word that this thread has written was seen by another and its answer by this one: the median of
 * `repeats` stretches of many. Negative where there is one thread only, or no other came. */
LATHE_API double lathe_cpu_measure_round_trip(lathe_cpu*, int32_t repeats);

/* The copy of an INT8 matrix that is multiplied in integers (int8_impl.h), rows filled up to a multiple of 16 and columns to
 * one of 4: values [rows / 16][cols / 4][16][4], scales and zeros as lathe_weight has them. Groups are of a multiple of 16
 * columns that divides 128, or is a multiple of it; or there is one. */
LATHE_API void lathe_cpu_pack(const lathe_weight*, uint8_t* values, float* scales, int32_t* zeros);

/* out[t, r] (add ? += : =) sum_c x[t, c] w[r, c] + bias[r]. Every element is summed in the same order whatever the number
 * of tokens or threads: lane c % W of one vector of W lanes for ascending c, then the lanes by one tree. Packed matrices
 * are multiplied in integers instead, by x in 16 bits: int8_impl.h. */
LATHE_API int32_t lathe_cpu_linear(lathe_cpu*, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                                   int64_t tokens, const lathe_weight*, const float* bias, int32_t add);
LATHE_API int32_t lathe_cpu_embed(lathe_cpu*, float* out, int64_t out_stride, const lathe_weight*, const int32_t* tokens,
                                  int64_t count);
LATHE_API int32_t lathe_cpu_rms_norm(lathe_cpu*, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                                     const float* weight, int64_t rows, int64_t cols, float epsilon);
/* keys, values [pages, kv_heads, page_size, head_dim] of a lathe_kv type, as INT8 [pages, kv_heads] of page_size * head_dim
 * codes and page_size scales in F32; rotations [positions, head_dim]. */
LATHE_API int32_t lathe_cpu_rotate_and_append(lathe_cpu*, float* qkv, int64_t stride, int64_t tokens,
                                              const float* rotations, int64_t rotation_rows, int64_t rotation_stride,
                                              int32_t heads, int32_t kv_heads, int32_t head_dim, uint8_t* keys,
                                              uint8_t* values, int32_t kv_type, int64_t pages, int32_t page_size,
                                              const int32_t* positions, const int32_t* slots);
/* A token sees the last `window` keys, its own included; soft_cap > 0: scores become soft_cap * tanh(score / soft_cap).
 * Beside keys and values in BF16 avx512bf16 rounds queries and weights to that type: bf16_attention_impl.h says where. */
LATHE_API int32_t lathe_cpu_attention(lathe_cpu*, float* out, int64_t out_stride, const float* qkv, int64_t stride,
                                      int64_t tokens, int32_t heads, int32_t kv_heads, int32_t head_dim, float scale,
                                      int32_t window, float soft_cap, const uint8_t* keys, const uint8_t* values, int32_t kv_type, int64_t pages,
                                      int32_t page_size, int64_t sequences, const int32_t* query_starts,
                                      const int32_t* context_lengths, const int32_t* block_starts,
                                      const int32_t* blocks, int64_t block_count);
/* activation: 0 SiLU, 1 GELU by tanh, 2 GELU by erf */
LATHE_API int32_t lathe_cpu_gate(lathe_cpu*, float* out, int64_t out_stride, const float* gate_up, int64_t stride,
                                 int64_t rows, int64_t cols, int32_t activation);
LATHE_API int32_t lathe_cpu_gather_rows(lathe_cpu*, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                                        int64_t x_rows, int64_t cols, const int32_t* rows, int64_t count);
LATHE_API int32_t lathe_cpu_argmax(lathe_cpu*, int32_t* out, const float* x, int64_t x_stride, int64_t rows,
                                   int64_t cols);

LATHE_API int32_t lathe_cpu_layer_norm(lathe_cpu*, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                                       const float* weight, const float* bias, int64_t rows, int64_t cols,
                                       float epsilon);
/* out += x / sqrt(mean(x^2) + epsilon) * weight */
LATHE_API int32_t lathe_cpu_add_rms_norm(lathe_cpu*, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                                         const float* weight, int64_t rows, int64_t cols, float epsilon);
/* RMSNorm of each head of the queries and of the keys, in place. */
LATHE_API int32_t lathe_cpu_norm_heads(lathe_cpu*, float* qkv, int64_t stride, int64_t tokens,
                                       const float* query_weight, const float* key_weight, int32_t heads,
                                       int32_t kv_heads, int32_t head_dim, float epsilon);
LATHE_API int32_t lathe_cpu_append(lathe_cpu*, const float* qkv, int64_t stride, int64_t tokens, int32_t heads,
                                   int32_t kv_heads, int32_t head_dim, uint8_t* keys, uint8_t* values, int32_t kv_type,
                                   int64_t pages, int32_t page_size, const int32_t* slots);
/* out[i] += table[rows[i]] */
LATHE_API int32_t lathe_cpu_add_embedding(lathe_cpu*, float* out, int64_t out_stride, const lathe_weight* table,
                                          const int32_t* rows, int64_t count);
LATHE_API int32_t lathe_cpu_activate(lathe_cpu*, float* out, int64_t out_stride, const float* x, int64_t x_stride,
                                     int64_t rows, int64_t cols, int32_t activation);
LATHE_API int32_t lathe_cpu_scale(lathe_cpu*, float* x, int64_t stride, int64_t rows, int64_t cols, float factor);
/* x = cap * tanh(x / cap) */
LATHE_API int32_t lathe_cpu_soft_cap(lathe_cpu*, float* x, int64_t stride, int64_t rows, int64_t cols, float cap);
