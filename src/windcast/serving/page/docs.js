// The API's description, with a form for every call; nothing is asked of anyone outside.
const openapi = new URL("../openapi.json", document.currentScript.src);
window.SwaggerUIBundle({
  url: openapi.href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
