package dev.lathe.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class KvCacheTest {
  private final TinyModel model = new TinyModel(1);
  private final ReferenceBackend backend = new ReferenceBackend();
  private Decoder decoder;
  private KvCache cache;

  @BeforeEach
  void open() {
    decoder = Decoder.load(model, backend);
    cache = decoder.newCache(5, 4);
  }

  @AfterEach
  void close() {
    cache.close();
    decoder.close();
    model.close();
    backend.close();
  }

  @Test
  void pagesAreTakenAsTokensComeAndGivenBack() {
    KvSequence first = cache.newSequence();
    KvSequence second = cache.newSequence();
    first.append(5);
    second.append(4);
    assertThat(first.blocks()).containsExactly(0, 1);
    assertThat(second.blocks()).containsExactly(2);
    assertThat(cache.freePages()).isEqualTo(2);
    assertThat(first.slot(4)).isEqualTo(4);
    assertThat(second.slot(3)).isEqualTo(11);

    first.truncate(4);
    assertThat(cache.freePages()).isEqualTo(3);
    second.append(1);
    assertThat(second.blocks()).containsExactly(2, 1);
    first.close();
    second.close();
    assertThat(cache.freePages()).isEqualTo(5);
    assertThat(cache.openSequences()).isZero();
  }

  @Test
  void sequencesOfKnownLengthsGetNeighbouringPages() {
    try (KvCache eight = decoder.newCache(8, 4)) {
      KvSequence first = eight.newSequence(12); // pages 0 to 2
      KvSequence second = eight.newSequence(16); // 3 to 6
      KvSequence other = eight.newSequence();
      first.append(1);
      second.append(1);
      other.append(1);
      first.append(11);
      second.append(4);
      assertThat(first.blocks()).containsExactly(0, 1, 2);
      assertThat(second.blocks()).containsExactly(3, 4);
      assertThat(other.blocks()).containsExactly(7);

      other.append(4); // nothing else is left: it takes what is set aside
      assertThat(other.blocks()).containsExactly(7, 5);
      second.append(4);
      assertThat(second.blocks()).containsExactly(3, 4, 6);
      assertThat(eight.freePages()).isZero();

      first.close();
      KvSequence third = eight.newSequence(12);
      third.append(12);
      assertThat(third.blocks()).containsExactly(0, 1, 2);
      third.truncate(5);
      third.append(1);
      other.append(4);
      assertThat(other.blocks()).containsExactly(7, 5, 2);
      List.of(second, other, third).forEach(KvSequence::close);
      assertThat(eight.freePages()).isEqualTo(8);
      KvSequence all = eight.newSequence(32);
      all.append(32);
      assertThat(all.blocks()).containsExactly(0, 1, 2, 3, 4, 5, 6, 7);
    }
  }

  @Test
  void whatIsCutOffIsForgottenAndItsWholePagesGoBack() {
    KvSequence sequence = cache.newSequence();
    sequence.append(9);
    int[] pages = sequence.blocks();
    sequence.truncate(5); // one token into the second page
    assertThat(sequence.length()).isEqualTo(5);
    assertThat(sequence.blocks()).containsExactly(pages[0], pages[1]);
    assertThat(cache.freePages()).isEqualTo(3);
    sequence.append(3);
    assertThat(sequence.length()).isEqualTo(8);
    assertThat(sequence.blocks()).containsExactly(pages[0], pages[1]);
    assertThatThrownBy(() -> sequence.truncate(9))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("cannot cut 8 tokens to 9");
    sequence.truncate(0);
    assertThat(sequence.length()).isZero();
    assertThat(cache.freePages()).isEqualTo(5);
  }

  @Test
  void aFullCacheRefusesAndLeavesTheSequenceAsItWas() {
    KvSequence sequence = cache.newSequence();
    sequence.append(17);
    Batch batch = new Batch();
    assertThatThrownBy(() -> batch.add(sequence, new int[4], Batch.Logits.LAST))
        .isInstanceOf(CacheFullException.class)
        .hasMessageContaining("1 pages of 4 tokens needed, 0 of 5 free");
    assertThat(batch.tokenCount()).isZero();
    assertThat(sequence.length()).isEqualTo(17);
    batch.add(sequence, new int[3], Batch.Logits.LAST);
    assertThat(sequence.length()).isEqualTo(20);
  }

  @Test
  void itsBytesAreThoseOfItsPages() {
    long perToken = decoder.config().cacheBytesPerToken(DType.F32);
    assertThat(perToken).isEqualTo(2L * 2 * 2 * 10 * 4);
    assertThat(cache.bytes()).isEqualTo(20 * perToken);
    long asInt8 = decoder.config().cacheBytesPerToken(DType.I8);
    assertThat(asInt8).isEqualTo(2L * 2 * 2 * (10 + 4));
    try (KvCache int8 = decoder.newCache(5, 4, DType.I8)) {
      assertThat(int8.bytes()).isEqualTo(20 * asInt8);
    }
  }

  @Test
  void aBatchDescribesItsSequencesOneAfterAnother() {
    KvSequence first = cache.newSequence();
    first.append(3);
    KvSequence second = cache.newSequence();
    Batch batch =
        new Batch()
            .add(first, new int[] {7, 8}, Batch.Logits.LAST)
            .add(second, new int[] {5, 6, 9}, Batch.Logits.ALL);
    Batch.Ints[] arrays = batch.arrays();
    assertThat(contents(arrays[0])).containsExactly(7, 8, 5, 6, 9);
    assertThat(contents(arrays[1])).containsExactly(3, 4, 0, 1, 2);
    assertThat(contents(arrays[2])).containsExactly(3, 4, 8, 9, 10);
    assertThat(contents(arrays[3])).containsExactly(0, 2, 5);
    assertThat(contents(arrays[4])).containsExactly(5, 3);
    assertThat(contents(arrays[5])).containsExactly(0, 2, 3);
    assertThat(contents(arrays[6])).containsExactly(0, 1, 2);
    assertThat(contents(arrays[7])).containsExactly(1, 2, 3, 4);
  }

  private static int[] contents(Batch.Ints ints) {
    return java.util.Arrays.copyOf(ints.values, ints.size);
  }
}
