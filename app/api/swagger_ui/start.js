// Shows the OpenAPI document that /docs names. A file of its own, because the page's policy allows no inline script.
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: document.getElementById("swagger-ui").dataset.openapi,
    dom_id: "#swagger-ui",
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
    // Neither a badge of a validator elsewhere nor settings from the page's address.
    validatorUrl: null,
    queryConfigEnabled: false,
  });
});
