/* linear_tiles.cu with one mistake, a canary of LinearKernelsTest: where columns are divided, the last part stops a stage
 * early, and each other one begins a stage early. Only g++ compiles it.
 */
#include "common/kv_types.cuh"

inline int part_begin_early(int count, int used, int split) { return part_begin(count, used, split) - (split > 0); }
#define part_begin part_begin_early
#include "../linear_tiles.cu"
