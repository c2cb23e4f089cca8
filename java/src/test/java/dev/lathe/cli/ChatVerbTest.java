package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code generate --chat}: a prompt as the model's template writes it. */
class ChatVerbTest {
  @TempDir Path folder;
  private Path model;

  @BeforeEach
  void copy() throws IOException {
    SharedModel.assume();
    model = SharedModel.copyTo(folder.resolve("model"));
  }

  private Run generate(String... more) {
    return SharedModel.generate(model, more);
  }

  private void template(String text) throws IOException {
    Files.writeString(model.resolve("chat_template.jinja"), text);
  }

  /** The template writes the token that begins a sequence, which is there once. */
  @Test
  void theTemplateWritesThePrompt() throws IOException {
    template("{{ bos_token }}{% for m in messages %}{{ m.content + ' ' }}{% endfor %}Tom");
    Run chat = generate("--chat", "--system", "One day", "--prompt", "a boy named");
    assertThat(chat.code()).as(chat.err()).isZero();
    Run plain = generate("--prompt", "One day a boy named Tom");
    assertThat(chat.json().get("prompt_tokens")).isEqualTo(plain.json().get("prompt_tokens"));
    assertThat(chat.json().get("tokens")).isEqualTo(plain.json().get("tokens"));
    assertThat(List.copyOf(chat.json().propertyNames()))
        .isEqualTo(List.copyOf(plain.json().propertyNames()));
  }

  @Test
  void aModelWithoutATemplateIsExit2() {
    Run run = generate("--chat", "--prompt", "a");
    assertThat(run.code()).isEqualTo(2);
    assertThat(run.err())
        .contains(model.toString(), "has no chat template", "without --chat")
        .hasLineCount(1);
  }

  @Test
  void aTemplateThatRefusesIsExit2() throws IOException {
    template("{{ bos_token }}\n{{ raise_exception('there is no system role') }}");
    Run run = generate("--chat", "--prompt", "a");
    assertThat(run.code()).isEqualTo(2);
    assertThat(run.err())
        .contains("chat_template.jinja: the chat template, line 2 refuses these messages")
        .contains("there is no system role");
  }

  @Test
  void optionsThatMakeNoSenseAreExit2() {
    assertThat(generate("--system", "a", "--prompt", "b").code()).isEqualTo(2);
    Run run = generate("--chat");
    assertThat(run.code()).isEqualTo(2);
    assertThat(run.err()).contains("--chat needs --prompt");
  }
}
