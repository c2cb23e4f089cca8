/* paged_attention_decode_int8.cu with one mistake, a canary of Int8PagedAttentionTest: where the values' unit rises, sums stay in
 * the old one. Only g++ compiles it.
 */
#include "common/int8_tiles.cuh"

struct UnitThatForgets : ValueUnit {
  float raise(float largest) {
    ValueUnit::raise(largest);
    return 1.0f;
  }
};
#define ValueUnit UnitThatForgets
#include "../paged_attention_decode_int8.cu"
