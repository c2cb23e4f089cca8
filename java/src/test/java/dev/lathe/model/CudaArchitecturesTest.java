package dev.lathe.model;

import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.lathe.backend.cuda.CudaBackend;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/** Every architecture on the GPU that there is, as {@link ArchitecturesTest} does on the CPU. */
@Tag("cuda")
class CudaArchitecturesTest {
  @TestFactory
  Stream<DynamicTest> wholeAndTokenByTokenEqualTheIndependentDecoder() {
    return Arrays.stream(RandomModels.values())
        .map(model ->
            dynamicTest(model.name(), () -> ArchitecturesTest.check(model, CudaBackend::open)));
  }
}
