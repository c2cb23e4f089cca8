package dev.lathe.backend.cuda;

/**
 * Which element of a matrix each lane of a warp holds, as the PTX ISA publishes it for each shape
 * of {@code mma.sync} (section 9.7.14.5, "Matrix Fragments for mma.mMnNkK") and of {@code mma.sp}
 * (9.7.14.6.2). Written from those formulas, shape by shape, and from nothing of the emulator's.
 * The lanes of metadata are published as figures, without a formula. They are here as two libraries
 * that run on GPUs have them, which agree: ELayout in CuTe's mma_traits_sm80_sparse, whose layout
 * (thread) -> (row, column) is {@code (2, 2, 8) : (16 columns, 0, 1 row)} for 16 bits and {@code
 * (2, 2, 8) : (8 rows, 32 columns, 1 row)} for 8 bits at k = 64; and CUTLASS's reorder_meta with
 * the ldmatrix that reads what it wrote, which PyTorch's semi-structured tensors repeat.
 *
 * <p>With groupID = lane / 4 and threadID = lane % 4, element i of a lane's fragment is at (row,
 * column).
 */
enum Fragments {
  /** .f16 and .bf16, k = 16. */
  HALF_K16(16, 8, 4) {
    @Override
    int rowOfA(int group, int i) {
      return i < 2 || (i >= 4 && i < 6) ? group : group + 8;
    }

    @Override
    int columnOfA(int thread, int i) {
      return i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
    }

    @Override
    int rowOfB(int thread, int i) {
      return i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
    }
  },

  /** .f16 and .bf16, k = 8. */
  HALF_K8(8, 4, 2) {
    @Override
    int rowOfA(int group, int i) {
      return i < 2 ? group : group + 8;
    }

    @Override
    int columnOfA(int thread, int i) {
      return thread * 2 + (i & 1);
    }

    @Override
    int rowOfB(int thread, int i) {
      return thread * 2 + i;
    }
  },

  /** .s8 and .u8, k = 32. */
  BYTE_K32(32, 16, 8) {
    @Override
    int rowOfA(int group, int i) {
      return i < 4 || (i >= 8 && i < 12) ? group : group + 8;
    }

    @Override
    int columnOfA(int thread, int i) {
      return i < 8 ? thread * 4 + (i & 3) : thread * 4 + (i & 3) + 16;
    }

    @Override
    int rowOfB(int thread, int i) {
      return i < 4 ? thread * 4 + (i & 3) : thread * 4 + (i & 3) + 16;
    }
  },

  /** .s8 and .u8, k = 16. */
  BYTE_K16(16, 8, 4) {
    @Override
    int rowOfA(int group, int i) {
      return i < 4 ? group : group + 8;
    }

    @Override
    int columnOfA(int thread, int i) {
      return thread * 4 + (i & 3);
    }

    @Override
    int rowOfB(int thread, int i) {
      return thread * 4 + i;
    }
  },

  /**
   * Sparse .f16 and .bf16, k = 32; A's column is the first of the four that the kept value comes
   * from. Values 0 and 1, 2 and 3, ... of a lane come from the same four.
   */
  SPARSE_HALF_K32(32, 8, 8) {
    @Override
    int rowOfA(int group, int i) {
      return i < 2 || (i >= 4 && i < 6) ? group : group + 8;
    }

    @Override
    int columnOfA(int thread, int i) {
      return i < 4 ? thread * 4 : thread * 4 + 16;
    }

    @Override
    int rowOfB(int thread, int i) {
      return thread * 2 + (i & 1) + 8 * (i / 2);
    }

    @Override
    int metadataLane(int row, int chunk, int selector) {
      // The pair of threads that the selector names holds a row's columns 0 to 15 and 16 to 31.
      return row % 8 * 4 + selector * 2 + (chunk < 4 ? 0 : 1);
    }

    @Override
    int metadataBit(int row, int chunk) {
      return (row < 8 ? 0 : 16) + chunk % 4 * 4;
    }
  },

  /** Sparse .s8, k = 64. A lane's register holds the kept values of eight columns. */
  SPARSE_BYTE_K64(64, 16, 16) {
    @Override
    int rowOfA(int group, int i) {
      return i < 4 || (i >= 8 && i < 12) ? group : group + 8;
    }

    @Override
    int columnOfA(int thread, int i) {
      return (i < 8 ? thread * 8 : thread * 8 + 32) + (i % 4 < 2 ? 0 : 4);
    }

    @Override
    int rowOfB(int thread, int i) {
      return thread * 4 + (i & 3) + 16 * (i / 4);
    }

    @Override
    int metadataLane(int row, int chunk, int selector) {
      // Of a group's four threads two hold columns 0 to 31 of the upper row and of the lower one,
      // two columns 32 to 63.
      return row % 8 * 4 + (row < 8 ? 0 : 1) + (chunk < 8 ? 0 : 2);
    }

    @Override
    int metadataBit(int row, int chunk) {
      return chunk % 8 * 4;
    }
  };

  /** Rows of B; columns of A, counting those that a sparse A leaves out. */
  final int depth;

  /** Elements of a lane's fragments. */
  final int ofA;

  final int ofB;

  Fragments(int depth, int ofA, int ofB) {
    this.depth = depth;
    this.ofA = ofA;
    this.ofB = ofB;
  }

  abstract int rowOfA(int group, int i);

  abstract int columnOfA(int thread, int i);

  abstract int rowOfB(int thread, int i);

  static int columnOfB(int group) {
    return group;
  }

  static int rowOfC(int group, int i) {
    return i < 2 ? group : group + 8;
  }

  static int columnOfC(int thread, int i) {
    return thread * 2 + (i & 1);
  }

  boolean sparse() {
    return this == SPARSE_HALF_K32 || this == SPARSE_BYTE_K64;
  }

  /** The lane that holds the two indices of columns 4 chunk to 4 chunk + 3 of a row. */
  int metadataLane(int row, int chunk, int selector) {
    throw new IllegalStateException(this + " has no metadata");
  }

  /**
   * The lowest of the four bits there: two for the first kept value's column, two for the second's.
   */
  int metadataBit(int row, int chunk) {
    throw new IllegalStateException(this + " has no metadata");
  }
}
