package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tokenize.ChatTemplate;
import dev.lathe.tokenize.ChatTemplate.Message;
import java.util.ArrayList;
import java.util.List;

/**
 * What a model is to go on with: the prompts as they are, or as what a user says in a chat.
 *
 * @param system what the system says before; null for nothing
 */
record Conversation(boolean chat, String system, List<String> prompts) {
  Conversation {
    if (system != null && !chat) {
      throw new InvalidInputException("--system is a part of a chat: it needs --chat");
    }
    if (chat && prompts.contains("")) {
      throw new InvalidInputException("--chat needs --prompt TEXT: what the user says");
    }
  }

  /** The tokens of each prompt. In a chat the template writes the token that begins a sequence. */
  List<int[]> tokens(OpenModel open) {
    if (!chat) {
      return prompts.stream()
          .map(prompt -> GenerateCommand.withBeginning(open.tokenizer(), prompt))
          .toList();
    }
    ChatTemplate template =
        ChatTemplate.find(open.checkpoint())
            .orElseThrow(() ->
                new InvalidInputException(
                    open.checkpoint().path()
                        + " has no chat template: neither chat_template.jinja nor chat_template in"
                        + " tokenizer_config.json; without --chat the prompt is taken as it is"));
    return prompts.stream().map(prompt -> tokens(open, template, prompt)).toList();
  }

  private int[] tokens(OpenModel open, ChatTemplate template, String prompt) {
    List<Message> messages = new ArrayList<>();
    if (system != null) {
      messages.add(new Message("system", system));
    }
    messages.add(new Message("user", prompt));
    int[] tokens = open.tokenizer().encode(template.render(messages, true));
    if (tokens.length == 0) {
      throw new InvalidInputException(
          open.checkpoint().path() + ": the chat template writes nothing for this prompt");
    }
    return tokens;
  }
}
