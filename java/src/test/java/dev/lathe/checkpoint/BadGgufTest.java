package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import dev.lathe.error.InvalidInputException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Whatever a GGUF file can lie about is one message with the file, the place and what would be
 * right; and no small file makes the reader take much memory or time.
 */
class BadGgufTest {
  /** What no file of a few kilobytes may make the reader allocate. */
  private static final long MOST_BYTES = 64L << 20;

  @TempDir Path folder;

  private static Arguments bad(String name, Consumer<GgufFixture> damage, String... parts) {
    return Arguments.of(name, damage, parts);
  }

  static Stream<Arguments> damages() {
    byte[] four = new byte[4];
    return Stream.of(
        bad("magic", f -> f.magic = 0x46554746, "does not begin with \"GGUF\""),
        bad("version 1", f -> f.version = 1, "version 1", "2 and 3"),
        bad("version 4", f -> f.version = 4, "version 4", "2 and 3"),
        bad("big-endian", f -> f.version = 3 << 24, "big-endian"),
        bad("too many tensors", f -> f.extraTensors = 1L << 40, "tensors are announced"),
        bad("2^63 tensors", f -> f.extraTensors = Long.MIN_VALUE, "more than 2^63"),
        bad("too many keys", f -> f.extraKeys = 1L << 50, "metadata keys are announced"),
        bad("one key too many", f -> f.extraKeys = 1, "byte"),
        bad("a key twice", f -> f.u32("llama.block_count", 1), "llama.block_count is there twice"),
        bad("an empty key", f -> f.u32("", 1), "has no name"),
        bad("an unknown type", f -> f.key("x", 13, four), "the type of x is 13", "0 to 12"),
        bad("a bool of 2", f -> f.bool("x", 2), "x is the bool 2", "0 or 1"),
        bad(
            "a string longer than the file",
            f ->
                f.key(
                    "x",
                    GgufFixture.STRING,
                    GgufFixture.content(GgufFixture.little(8).putLong(1L << 60))),
            "x is given as",
            "only",
            "left"),
        bad(
            "a string of 2^63 bytes",
            f ->
                f.key(
                    "x",
                    GgufFixture.STRING,
                    GgufFixture.content(GgufFixture.little(8).putLong(-1))),
            "the length of x",
            "more than 2^63"),
        bad(
            "an array longer than the file",
            f -> f.array("x", GgufFixture.UINT64, 1L << 61, four),
            "x is given as",
            "elements of UINT64"),
        bad(
            "an array of strings longer than the file",
            f -> f.array("x", GgufFixture.STRING, 1L << 40, four),
            "elements of STRING"),
        bad(
            "an array of arrays",
            f -> f.array("x", GgufFixture.ARRAY, 1, new byte[12]),
            "x is an array of arrays"),
        bad(
            "an array of an unknown type",
            f -> f.array("x", 77, 1, four),
            "the type of the elements of x is 77"),
        bad("alignment 0", f -> f.u32("general.alignment", 0), "general.alignment", "power of two"),
        bad("alignment 48", f -> f.u32("general.alignment", 48), "is 48", "power of two"),
        bad("alignment 2^32-1", f -> f.u32("general.alignment", -1), "power of two"),
        bad("alignment of a string", f -> f.string("general.alignment", "32"), "whole number"),
        bad(
            "a tensor twice",
            f -> f.tensor("token_embd.weight", 0, four, 1),
            "tensor token_embd.weight is there twice"),
        bad("a tensor without a name", f -> f.tensor("", 0, four, 1), "has no name"),
        bad(
            "a long name",
            f -> f.tensor("x".repeat(65), 0, four, 1),
            "65 bytes long",
            "at most 64"),
        bad("no dimensions", f -> f.tensor("x", 0, four), "0 dimensions", "1 to 4"),
        bad("five dimensions", f -> f.tensor("x", 0, four, 1, 1, 1, 1, 1), "5 dimensions"),
        bad("a dimension of 0", f -> f.tensor("x", 0, four, 4, 0), "dimension of 0"),
        bad("a product beyond 2^63", f -> f.tensor("x", 0, four, 1L << 32, 1L << 32), "below 2^63"),
        bad("bytes beyond 2^63", f -> f.tensor("x", 0, four, 1L << 62), "more than 2^63 bytes"),
        bad("a type not read", f -> f.tensor("x", 10, four, 256), "Q2_K", "Q6_K"),
        bad("a type unknown", f -> f.tensor("x", 999, four, 256), "number 999", "Q6_K"),
        bad(
            "a row that fills no block",
            f -> f.tensor("x", 12, four, 255, 2),
            "rows of 255",
            "multiples of 256"),
        bad(
            "an offset off the alignment",
            f -> f.tensorAt(f.tensors.size() * 512L + 4, "x", 0, four, 1),
            "no multiple of the alignment, 32"),
        bad("an overlap", f -> f.tensorAt(32, "x", 0, four, 1), "overlaps tensor"),
        bad("an offset beyond", f -> f.tensorAt(1L << 40, "x", 0, four, 1), "truncated or damaged"),
        bad("a tensor cut off", f -> f.cutBytes = 1, "attn_q", "truncated or damaged"),
        bad("no architecture", f -> f.without("general.architecture"), "general.architecture"),
        bad(
            "another architecture",
            f -> f.without("general.architecture").string("general.architecture", "mamba"),
            "\"mamba\" is not known",
            "llama"),
        bad("no layers", f -> f.without("llama.block_count"), "llama.block_count is missing"),
        bad(
            "layers that are text",
            f -> f.without("llama.block_count").string("llama.block_count", "1"),
            "llama.block_count is STRING",
            "whole number"),
        bad(
            "fewer layers than tensors",
            f -> f.without("llama.block_count").u32("llama.block_count", 0),
            "blk.0.attn_q.weight belongs to layer 0"),
        bad(
            "billions of layers",
            f -> f.without("llama.block_count").u32("llama.block_count", 0xffff_fff0L),
            "llama.block_count is 4294967280"),
        bad(
            "windows of other layers",
            f ->
                f.u32("llama.attention.sliding_window", 4)
                    .ints("llama.attention.sliding_window_pattern", 1, 0, 1),
            "sliding_window_pattern has 3 values, but there are 1 layers"),
        bad(
            "no heads",
            f -> f.without("llama.attention.head_count").u32("llama.attention.head_count", 0),
            "llama.attention.head_count"),
        bad("odd heads", f -> f.u32("llama.attention.key_length", 3), "needs pairs"),
        bad("rotation of a part", f -> f.u32("llama.rope.dimension_count", 2), "4 elements"),
        bad("experts", f -> f.u32("llama.expert_count", 8), "llama.expert_count", "experts"),
        bad(
            "capped scores",
            f -> f.f32("llama.attn_logit_softcapping", 50),
            "attn_logit_softcapping is 50.0",
            "capped scores"),
        bad(
            "frequencies of other heads",
            f -> f.tensor("rope_freqs.weight", 0, GgufFixture.floats(1, 3), 3),
            "heads of 4 elements need F32 [2]"),
        bad(
            "frequencies that are none",
            f -> f.tensor("rope_freqs.weight", 0, GgufFixture.floats(0, 2), 2),
            "rope_freqs.weight has 0.0 at 0"),
        bad(
            "a tensor that the architecture lacks",
            f -> f.tensor("blk.0.ssm_in.weight", 0, four, 1),
            "blk.0.ssm_in.weight"),
        bad(
            "text that is no UTF-8",
            f ->
                f.without("general.architecture")
                    .key(
                        "general.architecture",
                        GgufFixture.STRING,
                        GgufFixture.join(
                            GgufFixture.content(GgufFixture.little(8).putLong(1)),
                            new byte[] {(byte) 0xff})),
            "no valid UTF-8"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("damages")
  void damageIsNamed(String name, Consumer<GgufFixture> damage, String[] parts) {
    GgufFixture fixture = GgufFixture.tinyLlama();
    damage.accept(fixture);
    Path file = write(fixture.bytes());
    assertThatThrownBy(() -> Checkpoints.open(file).close())
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContainingAll(parts)
        .message()
        .satisfies(message -> assertThat(message.lines()).hasSize(1));
  }

  /** The canary of the test above: undamaged, the same file opens. */
  @Test
  void theRightFileOpens() {
    for (int version : new int[] {2, 3}) {
      GgufFixture fixture = GgufFixture.tinyLlama();
      fixture.version = version;
      try (Checkpoint checkpoint = Checkpoints.open(write(fixture.bytes()))) {
        assertThat(checkpoint.tensors())
            .containsOnlyKeys(
                "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight");
      }
    }
  }

  /** Every prefix of the header, and every bit of it turned. */
  @Test
  void noDamageCrashesTheReader() {
    byte[] right = withTokenizer().bytes();
    Path file = folder.resolve("broken.gguf");
    Assertions.assertTimeoutPreemptively(
        Duration.ofMinutes(2),
        () -> {
          for (int length = 0; length < right.length; length += 7) {
            opensOrIsRefused(file, Arrays.copyOf(right, length));
          }
          Random random = new Random(3);
          for (int i = 0; i < 3000; i++) {
            byte[] wrong = right.clone();
            for (int n = random.nextInt(3); n >= 0; n--) {
              wrong[random.nextInt(right.length)] ^= (byte) (1 << random.nextInt(8));
            }
            opensOrIsRefused(file, wrong);
          }
        });
  }

  private static GgufFixture withTokenizer() {
    return GgufFixture.tinyLlama()
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", List.of("<unk>", "<s>", "a", "aa"))
        .scores("tokenizer.ggml.scores", 0, 0, -2, -1)
        .ints("tokenizer.ggml.token_type", 2, 3, 1, 1)
        .u32("tokenizer.ggml.bos_token_id", 1);
  }

  private void opensOrIsRefused(Path file, byte[] bytes) {
    SafetensorsFixture.write(file, bytes);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    try (Checkpoint checkpoint = Checkpoints.open(file)) {
      checkpoint.tensors().keySet().forEach(checkpoint::tensor);
      checkpoint.content("tokenizer.json");
      checkpoint.content("tokenizer_config.json");
    } catch (InvalidInputException e) {
      assertThat(e).hasMessageContaining(file.toString());
    }
    assertThat(threads.getCurrentThreadAllocatedBytes() - before).isLessThan(MOST_BYTES);
  }

  /** Pieces that can be put together in as many ways as they have letters. */
  @Test
  void aVocabularyMadeToBlowUpIsRefused() {
    int count = 500;
    GgufFixture fixture =
        GgufFixture.tinyLlama()
            .string("tokenizer.ggml.model", "llama")
            .strings(
                "tokenizer.ggml.tokens",
                IntStream.rangeClosed(1, count).mapToObj("a"::repeat).toList())
            .scores("tokenizer.ggml.scores", new float[count]);
    try (Checkpoint checkpoint = Checkpoints.open(write(fixture.bytes()))) {
      assertThatThrownBy(() -> checkpoint.content("tokenizer.json"))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("too many ways");
    }
  }

  private Path write(byte[] bytes) {
    Path file = folder.resolve("model.gguf");
    SafetensorsFixture.write(file, bytes);
    return file;
  }
}
