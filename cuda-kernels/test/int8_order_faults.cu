/* paged_attention_decode_int8.cu with one mistake, a canary of Int8PagedAttentionTest: a lane's second pair of a key's codes meets
 * the columns of the query behind those of the first pair of all lanes, where 16-bit keys have them. Only g++ compiles it.
 */
#include "common/int8_tiles.cuh"

inline Fragment<1> straight_query(const LaneRows& rows, int k, int head_dim) { return rows.query<f16, 1>(k, head_dim); }
#define code_query straight_query
#include "../paged_attention_decode_int8.cu"
