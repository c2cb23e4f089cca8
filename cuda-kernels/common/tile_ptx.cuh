/* The instructions that score_tiles.cuh is made of, and the types of its elements. */
#pragma once
#include "kv_types.cuh"
#include "ptx.cuh"
