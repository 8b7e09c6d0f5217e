// The page runs as it is written, in the browser: no step between could mend what is wrong here.
import js from "@eslint/js";
import globals from "globals";

export default [
  {
    files: ["src/sampt/web/static/**/*.js", "eslint.config.js"],
    ...js.configs.recommended,
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" },
    rules: {
      ...js.configs.recommended.rules,
      eqeqeq: "error",
      "no-console": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
  { files: ["src/sampt/web/static/early.js"], languageOptions: { sourceType: "script" } },
  { ignores: ["**/*.d.ts", ".venv*/", "build/", "dist/"] },
];
