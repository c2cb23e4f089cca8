/**
 * The part of Jinja2 that chat templates use, with Python's values: rendered exactly as Jinja2
 * renders it, or refused. A template is untrusted: it sees text, numbers, lists and dictionaries,
 * calls only what is listed here, and works within a {@link dev.lathe.tokenize.jinja.Meter}.
 */
package dev.lathe.tokenize.jinja;
