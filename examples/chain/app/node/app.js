// A service that knows nothing of versions: it says its name, and asks the next one.
const express = require("express");

const { NAME, NEXT } = process.env;
const app = express();

app.get("/", async (_, response) => {
  const behind = NEXT ? ` > ${await (await fetch(NEXT)).text()}` : "";
  response.type("text/plain").send(NAME + behind);
});

app.listen(8080);
