/* Kernels that are wrong on purpose: canaries of the emulated GPU's checks. Each is one mistake away from a right one.
 *
 * Only g++ compiles them. EmulatedDriverTest expects each to be caught in every order of threads, and names the report.
 */
#include "common/numeric.cuh"
#include "common/ptx.cuh"
#include "common/reduce.cuh"

/** The control: a sum over the block, as it should be. */
LATHE_KERNEL(block_sum_right, 1024, (float* out, const float* x)) {
  float sum = block_sum(x[blockIdx.x * blockDim.x + threadIdx.x]);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

/** block_sum without its barrier: the other warps' sums may not be there yet. */
LATHE_KERNEL(missing_barrier, 1024, (float* out, const float* x)) {
  LATHE_SHARED(float, warp_sums, [32]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  float sum = warp_sum(x[blockIdx.x * blockDim.x + threadIdx.x]);
  if (lane == 0) warp_sums[warp] = sum;
  sum = warp_sum(lane < warps ? warp_sums[lane] : 0.0f);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

/** A second sum overwrites what slower threads of the first still read. */
LATHE_KERNEL(missing_barrier_between, 1024, (float* out, const float* x)) {
  float once = block_sum(x[blockIdx.x * blockDim.x + threadIdx.x]);
  float twice = block_sum(2.0f * x[blockIdx.x * blockDim.x + threadIdx.x]);
  if (threadIdx.x == 0) out[blockIdx.x] = once + twice;
}

/** Lanes of one warp exchange through memory and trust that they run in step. */
LATHE_KERNEL(missing_warp_barrier, 1024, (float* out, const float* x)) {
  LATHE_SHARED(float, values, [1024]);
  values[threadIdx.x] = x[threadIdx.x];
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}
LATHE_KERNEL(warp_barrier_right, 1024, (float* out, const float* x)) {
  LATHE_SHARED(float, values, [1024]);
  values[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

/** Every block writes the same place. */
LATHE_KERNEL(blocks_collide, 1024, (float* out, const float* x)) {
  out[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
}

/** The bounds test lets one thread too many through: <= for <. */
LATHE_KERNEL(write_one_past, 1024, (float* out, const float* x, int count)) {
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= count) out[i] = 1.0f;
  if (i < 0) out[0] = x[0];
}
LATHE_KERNEL(read_one_past, 1024, (float* out, const float* x, int count)) {
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) out[i] = x[i + 1];
}
LATHE_KERNEL(shared_one_past, 1024, (float* out, const float* x)) {
  LATHE_SHARED(float, values, [64]);
  values[threadIdx.x + 1] = x[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + 1];
}
LATHE_KERNEL(dynamic_shared_one_past, 1024, (float* out, const float* x)) {
  LATHE_DYNAMIC_SHARED(float, values);
  values[threadIdx.x + 1] = x[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + 1];
}

/** Its launch leaves no room for these 1,024 bytes. */
LATHE_KERNEL(static_beside_dynamic_shared, 1024, (float* out, const float* x)) {
  LATHE_SHARED(float, sums, [256]);
  LATHE_DYNAMIC_SHARED(float, values);
  sums[threadIdx.x] = x[threadIdx.x];
  values[threadIdx.x] = sums[threadIdx.x];
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[threadIdx.x];
}

/** 16 bytes from an address that is a multiple of 4. */
LATHE_KERNEL(misaligned_vector, 1024, (float* out, const float* x)) {
  float4 values = *reinterpret_cast<const float4*>(x + 1 + 4 * threadIdx.x);
  out[threadIdx.x] = values.x + values.y + values.z + values.w;
}

/** Shared memory that only even threads have filled. */
LATHE_KERNEL(uninitialized_shared, 1024, (float* out, const float* x)) {
  LATHE_SHARED(float, values, [1024]);
  if (threadIdx.x % 2 == 0) values[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

/** The control: a buffer that is filled again once all have read it. */
LATHE_KERNEL(stage_right, 64, (float* out, const float* x)) {
  LATHE_SHARED(float4, stage, [64]);
  int thread = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int step = 0; step < 2; step++) {
    cp_async_16(&stage[thread], x + 256 * step + 4 * thread);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    sum += stage[63 - thread].x;
    __syncthreads();
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
/** The next copy into a buffer starts while others may still read it: it may arrive at once. */
LATHE_KERNEL(stage_refilled_early, 64, (float* out, const float* x)) {
  LATHE_SHARED(float4, stage, [64]);
  int thread = static_cast<int>(threadIdx.x);
  cp_async_16(&stage[thread], x + 4 * thread);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  float old = stage[63 - thread].x;
  cp_async_16(&stage[thread], x + 256 + 4 * thread);
  cp_async_commit();
  out[blockIdx.x * blockDim.x + threadIdx.x] = old;
  cp_async_wait<0>();
}
/** A thread's own bytes are read after the copy onto them has begun, as if it came no sooner than its wait. */
LATHE_KERNEL(stage_trusted_to_stay, 64, (float* out, const float* x)) {
  LATHE_SHARED(float4, stage, [64]);
  stage[threadIdx.x] = float4{1, 2, 3, 4};
  cp_async_16(&stage[threadIdx.x], x + 4 * threadIdx.x);
  cp_async_commit();
  float old = stage[threadIdx.x].x;
  cp_async_wait<0>();
  out[blockIdx.x * blockDim.x + threadIdx.x] = old + stage[threadIdx.x].x;
}
/** A copy is on its way to where zeros are put after it: whichever comes last stays. */
LATHE_KERNEL(stage_zeroed_late, 64, (float* out, const float* x)) {
  LATHE_SHARED(float4, stage, [64]);
  cp_async_16(&stage[threadIdx.x], x + 4 * threadIdx.x);
  cp_async_commit();
  stage[threadIdx.x].w = 0;
  cp_async_wait<0>();
  out[blockIdx.x * blockDim.x + threadIdx.x] = stage[threadIdx.x].w;
}
/** What a copy reads is changed before it is waited for: it may have read it by then, or not. */
LATHE_KERNEL(copy_source_changed, 64, (float* out, const float* x)) {
  LATHE_SHARED(float4, stage, [64]);
  float4* mine = reinterpret_cast<float4*>(out) + blockIdx.x * blockDim.x + threadIdx.x;
  *mine = float4{1, 2, 3, 4};
  cp_async_16(&stage[threadIdx.x], mine);
  cp_async_commit();
  mine->x = x[0] + 1;
  cp_async_wait<0>();
  mine->y = stage[threadIdx.x].x;
}

/** Half of a warp waits for the other half in a shuffle that the other half never reaches. */
LATHE_KERNEL(divergent_shuffle, 1024, (float* out, const float* x)) {
  float value = x[threadIdx.x];
  if (threadIdx.x % 32 < 16) value += __shfl_xor_sync(0xffffffffu, value, 1);
  __syncthreads();
  out[threadIdx.x] = value;
}

/** Everybody waits for a flag that nobody sets. */
LATHE_KERNEL(endless_polling, 1024, (float* out, const float* x)) {
  LATHE_SHARED(int, flag, [1]);
  if (threadIdx.x == 0) flag[0] = 0;
  __syncthreads();
  while (atomicAdd(&flag[0], 0) == 0) {
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = x[0];
}
LATHE_KERNEL(polling_right, 1024, (float* out, const float* x)) {
  LATHE_SHARED(int, flag, [1]);
  if (threadIdx.x == 0) flag[0] = 0;
  __syncthreads();
  if (threadIdx.x == 17) atomicExch(&flag[0], 1);
  while (atomicAdd(&flag[0], 0) == 0) {
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = x[0];
}

/** Each block waits for the one before it, as blocks that add up their parts one after another do. */
LATHE_KERNEL(blocks_in_turn, 1024, (int* out, int* turn)) {
  if (threadIdx.x == 0) {
    while (atomicAdd(turn, 0) != static_cast<int>(blockIdx.x)) {
    }
    __threadfence();
    out[0] = out[0] + static_cast<int>(blockIdx.x);
    __threadfence();
    atomicAdd(turn, 1);
  }
}

/** A barrier of the whole grid: `waited_for` blocks have to come, and then each looks at its neighbour's value. */
LATHE_KERNEL(grid_barrier, 1024, (int* out, int* arrived, int* values, int waited_for)) {
  int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  if (threadIdx.x == 0) {
    values[block] = block + 1;
    __threadfence();
    atomicAdd(arrived, 1);
    while (atomicAdd(arrived, 0) < waited_for) {
    }
    __threadfence();
  }
  __syncthreads();
  if (threadIdx.x == 32) out[block] = values[(block + 1) % blocks];
}

/** One sum of all threads: every addition has to count. */
LATHE_KERNEL(count_threads, 1024, (int* count, float* sum)) {
  atomicAdd(count, 1);
  atomicAdd(sum, 1.0f);
}

/** What cuModuleGetGlobal finds. */
extern "C" {
__attribute__((visibility("default"))) __device__ float fault_factors[2] = {3.0f, 4.0f};
}
LATHE_KERNEL(read_variable, 1024, (float* out)) { out[threadIdx.x] = fault_factors[threadIdx.x]; }

LATHE_KERNEL(endless_recursion, 1024, (float* out, const float* x)) {
  struct Deep {
    static float down(const float* values, int depth) {
      volatile float here[64];
      here[depth % 64] = values[0];
      return depth < 0 ? here[0] : down(values, depth + 1) + here[depth % 64];
    }
  };
  out[threadIdx.x] = Deep::down(x, 0);
}

/** RMSNorm whose sum stops one column early: canary of the comparison with the reference, not of the checks. */
LATHE_KERNEL(rms_norm_without_last_column_f32, 1024,
             (float* out, const float* x, const float* w, int64_t rows, int cols, float eps)) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* x_row = x + row * cols;
    float sum = 0;
    for (int c = threadIdx.x % 32; c < cols - 1; c += 32) sum += x_row[c] * x_row[c];
    float factor = rsqrtf(warp_sum(sum) / static_cast<float>(cols) + eps);
    for (int c = threadIdx.x; c < cols; c += blockDim.x) out[row * cols + c] = x_row[c] * factor * w[c];
  }
}
