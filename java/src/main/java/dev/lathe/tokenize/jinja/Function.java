package dev.lathe.tokenize.jinja;

/** What can be called: a macro, a method, a function of Jinja2 or of chat templates. */
interface Function {
  Object call(Values.Given given);
}
