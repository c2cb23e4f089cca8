package dev.lathe.train;

import dev.lathe.checkpoint.StrictJson;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * A byte-level BPE vocabulary learnt from text (Sennrich et al. 2016, algorithm 1, over bytes): ids
 * 0 to 255 are the bytes, then one id a merge, and the last two begin and end a document. Merges do
 * not cross the words that GPT-2's pattern finds. Of pairs that occur equally often the one of the
 * smaller ids is merged, so that the same text gives the same vocabulary.
 *
 * @param merges pairs of ids, in the order in which they were learnt
 */
public record BytePairs(List<Merge> merges) {
  public static final String BEGIN = "<|begin|>";
  public static final String END = "<|end|>";

  private static final int BYTES = 256;
  private static final int SPECIALS = 2;

  /** What {@code ByteLevel} with {@code use_regex} splits by. */
  private static final Pattern WORDS =
      Pattern.compile(
          "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");

  public record Merge(int left, int right) {}

  public BytePairs {
    merges = List.copyOf(merges);
  }

  /**
   * Learns from documents.
   *
   * @param vocabulary ids in all: at least 258
   * @throws IllegalArgumentException if the documents have too few pairs for so many merges
   */
  public static BytePairs learn(List<String> documents, int vocabulary) {
    if (vocabulary < BYTES + SPECIALS) {
      throw new IllegalArgumentException(vocabulary + " ids do not hold the 256 bytes and 2 more");
    }
    Map<String, Integer> counts = new TreeMap<>();
    for (String document : documents) {
      Matcher word = WORDS.matcher(document);
      while (word.find()) {
        counts.merge(word.group(), 1, Integer::sum);
      }
    }
    List<int[]> words = new ArrayList<>();
    counts.keySet().forEach(word -> words.add(bytes(word)));
    int[] times = counts.values().stream().mapToInt(Integer::intValue).toArray();
    List<Merge> merges = new ArrayList<>();
    for (int id = BYTES; id < vocabulary - SPECIALS; id++) {
      Merge best = mostFrequent(words, times);
      merges.add(best);
      for (int w = 0; w < words.size(); w++) {
        words.set(w, merged(words.get(w), best, id));
      }
    }
    return new BytePairs(merges);
  }

  private static int[] bytes(String word) {
    byte[] utf8 = word.getBytes(StandardCharsets.UTF_8);
    int[] ids = new int[utf8.length];
    for (int i = 0; i < utf8.length; i++) {
      ids[i] = Byte.toUnsignedInt(utf8[i]);
    }
    return ids;
  }

  private static Merge mostFrequent(List<int[]> words, int[] times) {
    Map<Merge, Long> pairs = new HashMap<>();
    for (int w = 0; w < words.size(); w++) {
      int[] ids = words.get(w);
      for (int i = 0; i + 1 < ids.length; i++) {
        pairs.merge(new Merge(ids[i], ids[i + 1]), (long) times[w], Long::sum);
      }
    }
    Merge best = null;
    long most = 0;
    for (Map.Entry<Merge, Long> pair : pairs.entrySet()) {
      Merge merge = pair.getKey();
      long count = pair.getValue();
      boolean earlier =
          best != null
              && (merge.left() < best.left()
                  || (merge.left() == best.left() && merge.right() < best.right()));
      if (count > most || (count == most && earlier)) {
        best = merge;
        most = count;
      }
    }
    if (best == null) {
      throw new IllegalArgumentException("the text is too small for a vocabulary of that size");
    }
    return best;
  }

  private static int[] merged(int[] ids, Merge merge, int id) {
    int[] out = new int[ids.length];
    int length = 0;
    for (int i = 0; i < ids.length; i++) {
      boolean pair = i + 1 < ids.length && ids[i] == merge.left() && ids[i + 1] == merge.right();
      out[length++] = pair ? id : ids[i];
      i += pair ? 1 : 0;
    }
    return Arrays.copyOf(out, length);
  }

  public int vocabulary() {
    return BYTES + merges.size() + SPECIALS;
  }

  public int begin() {
    return vocabulary() - 2;
  }

  public int end() {
    return vocabulary() - 1;
  }

  /** The vocabulary as Hugging Face's {@code tokenizer.json}. */
  public ObjectNode tokenizerJson() {
    ObjectNode json = StrictJson.mapper().createObjectNode();
    json.put("version", "1.0");
    ArrayNode added = json.putArray("added_tokens");
    special(added.addObject(), begin(), BEGIN);
    special(added.addObject(), end(), END);
    json.putNull("normalizer");
    byteLevel(json.putObject("pre_tokenizer"));
    json.putNull("post_processor");
    byteLevel(json.putObject("decoder"));
    ObjectNode model = json.putObject("model");
    model.put("type", "BPE");
    ObjectNode vocab = model.putObject("vocab");
    List<String> pieces = new ArrayList<>();
    for (int value = 0; value < BYTES; value++) {
      pieces.add(String.valueOf(letter(value)));
    }
    ArrayNode pairs = StrictJson.mapper().createArrayNode();
    for (Merge merge : merges) {
      pairs.addArray().add(pieces.get(merge.left())).add(pieces.get(merge.right()));
      pieces.add(pieces.get(merge.left()) + pieces.get(merge.right()));
    }
    for (int id = 0; id < pieces.size(); id++) {
      vocab.put(pieces.get(id), id);
    }
    vocab.put(BEGIN, begin());
    vocab.put(END, end());
    model.set("merges", pairs);
    return json;
  }

  /** {@code tokenizer_config.json}: a text starts with {@link #BEGIN}. */
  public ObjectNode tokenizerConfigJson() {
    ObjectNode json = StrictJson.mapper().createObjectNode();
    json.put("tokenizer_class", "PreTrainedTokenizerFast");
    json.put("add_bos_token", true);
    json.put("bos_token", BEGIN);
    json.put("eos_token", END);
    return json;
  }

  private static void special(ObjectNode token, int id, String content) {
    token.put("id", id).put("content", content);
    for (String flag : new String[] {"single_word", "lstrip", "rstrip", "normalized"}) {
      token.put(flag, false);
    }
    token.put("special", true);
  }

  private static void byteLevel(ObjectNode node) {
    node.put("type", "ByteLevel").put("add_prefix_space", false);
    node.put("trim_offsets", true).put("use_regex", true);
  }

  /** GPT-2's letter for a byte: printable Latin-1 as it is, the others from U+0100 on. */
  private static char letter(int value) {
    int shifted = 0;
    for (int i = 0; i < value; i++) {
      shifted += printable(i) ? 0 : 1;
    }
    return (char) (printable(value) ? value : BYTES + shifted);
  }

  private static boolean printable(int value) {
    return (value >= '!' && value <= '~') || (value >= 0xa1 && value <= 0xff && value != 0xad);
  }
}
