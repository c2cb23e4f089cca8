/** What a run found out, as records, and its report in HTML and Markdown. */
package dev.lathe.report;
